"""Runs whose training images change in each step."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from hydra_peft.augmentations.flip import Flip
from hydra_peft.cli.defaults import default_settings
from hydra_peft.config.schema import RunConfig
from hydra_peft.data.split import Batch
from hydra_peft.errors import UserError
from hydra_peft.runs.assembly import check_model
from hydra_peft.runs.outcome import Outcome
from hydra_peft.runs.rebuild import reevaluate
from hydra_peft.tables.overrides import Origin, marks
from hydra_peft.training.batches import Normalizer

Do = Callable[..., Outcome]
SHORT = ["dataset=mini/digits", "train.epochs=1"]


def test_a_probe_says_that_features_cannot_be_computed_once_and_is_scored_without(
    do: Do, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(logging.getLogger("hydra_peft"), "propagate", True)
    outcome = do(*SHORT, "method=linear", "data.augment=flip")
    (told,) = {r.getMessage() for r in caplog.records if "data.augment" in r.getMessage()}
    assert told.startswith("data.augment=flip changes images in each step, so")
    record = outcome.record
    assert record.path["features"] == "computed in each step"
    assert record.science["data"]["augment_options"] == {"flip": 0.5}
    origin = Origin.of(record)
    said = marks(record, default_settings([origin]))
    assert "data.augment=flip" in said
    assert not any("augment_options" in mark for mark in said)
    again = reevaluate(
        outcome.folder, cache=tmp_path / "cache", checkpoint=None, data=None, device="cpu"
    )
    assert again.unmerged.values == record.scores["test"]


def test_only_training_images_change_and_before_blocks_are_called(
    do: Do, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.Tensor] = []
    normalize, compiled = Normalizer.__call__, []

    def note(self: Normalizer, batch: Batch) -> torch.Tensor:
        seen.append(batch.inputs["image"])  # type: ignore[arg-type]
        return normalize(self, batch)

    def compile_blocks(_model: object, *, cuda_graph: bool) -> str:
        compiled.append(cuda_graph)
        return "nothing"

    monkeypatch.setattr(Normalizer, "__call__", note)
    monkeypatch.setattr("hydra_peft.runs.feed.compile_blocks", compile_blocks)
    fast = ["train.compile=true", "train.cuda_graph=true", "dataset.train_size=16"]
    same = [*SHORT, *fast, "method=lora", "train.batch_size=16"]
    do(*same)
    plain = seen.copy()
    seen.clear()
    record = do(*same, "data.augment=flip", "++data.augment_options={flip:1}").record
    assert compiled == [True, True]
    assert record.status == "completed"
    assert torch.equal(seen[0], plain[0].flip(-1))
    assert len(seen) == len(plain) > 1
    assert all(torch.equal(one, other) for one, other in zip(seen[1:], plain[1:], strict=True))


@pytest.mark.parametrize("task", ["quadrants", "brightness"])
def test_images_of_other_kinds_of_tasks_may_change(do: Do, extra_tasks: Path, task: str) -> None:
    place = f"hydra.searchpath=[file://{extra_tasks}]"
    outcome = do(place, f"dataset={task}", "train.epochs=1", "data.augment=crop")
    assert outcome.record.status == "completed"


@pytest.mark.parametrize("model", [[]], ids=["pretrained"])
def test_text_is_refused_before_anything_is_loaded(
    configure: Callable[..., RunConfig], extra_tasks: Path
) -> None:
    words = [f"hydra.searchpath=[file://{extra_tasks}]", "dataset=sentences", "model=tiny_text"]
    config = configure(*words, "method=linear", "data.augment=flip")
    with pytest.raises(UserError, match="changes images, and tiny_text takes"):
        check_model(config)
    check_model(configure(*words, "method=linear"))


def test_a_config_has_the_typed_options(configure: Callable[..., RunConfig]) -> None:
    config = configure("data.augment=flip", "++data.augment_options.flip=1")
    assert config.data.augmentation() == Flip(flip=1.0)
    assert type(config.data.augment_options["flip"]) is float
