"""What a run keeps of its predictions, and what is said where it keeps none."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from flat_results import results

from hydra_peft.cli import evaluate
from hydra_peft.config.schema import RunConfig
from hydra_peft.data.split import Split
from hydra_peft.errors import UserError
from hydra_peft.files import sha256_of
from hydra_peft.runs.folder import PREDICTIONS
from hydra_peft.runs.kept_predictions import fate
from hydra_peft.runs.outcome import Outcome
from hydra_peft.runs.predictions import read_class_predictions, scored_images
from hydra_peft.runs.record import read_record
from hydra_peft.tensor_files import read_tensors, write_tensors

Do = Callable[..., Outcome]
RUN = ["dataset=mini/digits", "method=linear", "train.epochs=1"]


@pytest.mark.parametrize(
    ("asked", "count", "becomes"),
    [
        ("auto", 50_000, "kept"),
        ("auto", 50_001, "too many examples"),
        ("true", 10**6, "kept"),
        ("false", 1, "not wanted"),
    ],
)
def test_large_splits_are_kept_only_where_it_is_asked_for(
    asked: str, count: int, becomes: str
) -> None:
    assert fate(asked, count) == becomes


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["save.predictions=false"], "the run had save.predictions=false"),
        ([], "save.predictions=auto keeps none of splits of more than 10 examples"),
    ],
)
def test_a_run_without_predictions_says_so_everywhere(
    do: Do,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    why: str,
) -> None:
    whole = do(*RUN)
    assert whole.record.predictions == {"test": "kept"}
    monkeypatch.setattr("hydra_peft.runs.kept_predictions.MOST", 10)
    outcome = do(*RUN, *words, "sweep.on_existing=rerun")
    assert outcome.folder == whole.folder  # what is kept is no science
    assert results(outcome.record) == results(whole.record)
    assert not list(outcome.folder.glob("predictions*"))
    assert read_record(outcome.folder).predictions == outcome.record.predictions != {"test": "kept"}
    with pytest.raises(UserError, match=f"has no predictions.safetensors: {why}; do the run again"):
        read_class_predictions(outcome.folder)
    call = ["evaluate.py", f"run={outcome.folder}", f"cache={tmp_path}/cache", "device=cpu"]
    monkeypatch.setattr(sys, "argv", call)
    assert evaluate.main() == 0
    assert f"  stored    none: {why}\n" in capsys.readouterr().out


def test_predictions_of_another_run_are_found_whatever_their_score(do: Do) -> None:
    outcome = do(*RUN)
    path = outcome.folder / PREDICTIONS
    assert outcome.record.outputs == {"test": sha256_of(path)}
    tensors = read_tensors(path)
    # The same classes are predicted, so that no count tells.
    write_tensors(path, tensors | {"outputs": tensors["outputs"] * 2}, {"split": "test"})
    said = f"{path} is not the file that its run wrote: edited, or of another run?"
    with pytest.raises(UserError, match=re.escape(said)):
        read_class_predictions(outcome.folder)
    shutil.rmtree(outcome.folder)


@pytest.mark.parametrize(
    ("words", "split"),
    [
        (["dataset=mini_fewshot/digits", "dataset.shots=2"], "val_shots"),
        (["dataset=mini/digits", "dataset.train_size=40"], "val200"),
        (["dataset=mini/digits", "dataset.shots=2"], "val200"),
    ],
    ids=["few-shot", "train_size", "shots"],
)
def test_images_of_a_split_that_is_drawn_are_found_again(
    do: Do, shared_cache: Path, words: list[str], split: str
) -> None:
    outcome = do(*words, "method=linear", "protocol=validation", "train.epochs=1")
    found = read_class_predictions(outcome.folder)
    images = scored_images(found, cache=shared_cache)
    assert found.split == split
    assert len(images) == len(found.targets)
    drawn = Split({"image": images}, found.targets)
    assert drawn.sha256() == outcome.record.data["splits"][split]


def test_another_value_is_a_sentence(configure: Callable[..., RunConfig]) -> None:
    with pytest.raises(UserError, match=r"save.predictions=5 is not allowed: it must be one of"):
        configure("save.predictions=5")
    assert configure("save.predictions=true").save.predictions == "true"
