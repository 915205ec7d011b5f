"""A run's folder alone gives its score again; nothing in it is trusted."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from fabricated_models import put_model
from fabricated_runs import edited
from flat_results import correct

from hydra_peft.cli import evaluate
from hydra_peft.errors import UserError
from hydra_peft.export import scored_images
from hydra_peft.quoting import of_file
from hydra_peft.runs import predictions
from hydra_peft.runs import rebuild as module
from hydra_peft.runs.outcome import Outcome
from hydra_peft.runs.rebuild import RebuiltRun, reevaluate
from hydra_peft.runs.rebuild import rebuild as rebuilt
from hydra_peft.runs.recorded import look_at_run
from hydra_peft.tensor_files import read_tensors, write_tensors

Do = Callable[..., Outcome]


def rebuild(folder: Path, cache: Path):  # type: ignore[no-untyped-def]
    return reevaluate(folder, cache=cache, checkpoint=None, data=None, device="cpu")


@pytest.mark.parametrize(
    "overrides",
    [
        ["method=hydra", "method.scale=4.5"],
        ["method=lora", "model.pretrained=true", "~model.arguments.depth", "seed=3"],
        ["method=linear"],
        ["method=full"],
        pytest.param(["method=seqlora", "method.rank=3"], marks=pytest.mark.long),
        pytest.param(["method=lora", "precision=bf16"], marks=pytest.mark.long),
    ],
)
def test_same_score(do: Do, shared_cache: Path, tmp_path: Path, overrides: list[str]) -> None:
    outcome = do(*overrides)
    moved = outcome.folder.rename(tmp_path / "moved")
    again = rebuild(
        moved, shared_cache if "method=lora" in overrides else tmp_path / "another_cache"
    )
    assert correct(again.unmerged) == outcome.record.counts["correct"]
    if outcome.record.method["name"] in ("linear", "full"):
        assert again.merged is None
    else:
        assert again.merged is not None
        tolerance = 8 if "precision=bf16" in overrides else 1
        assert abs(correct(again.merged) - correct(again.unmerged)) <= tolerance


@pytest.mark.parametrize("model", [[]], ids=["pretrained"])
def test_a_run_that_may_drop_adapters_is_scored_without_some(do: Do, shared_cache: Path) -> None:
    folder = do("method=adapterdrop").folder
    again = reevaluate(
        folder, cache=shared_cache, checkpoint=None, data=None, device="cpu", drop=(5, 0)
    )
    (scores,) = again.scores.values()
    assert list(scores.dropped) == [5, 0]
    assert scores.dropped[0] == scores.unmerged
    assert scores.dropped[5] != scores.unmerged
    assert scores.merged is None
    assert "the activation of its adapter" in again.unmergeable


def test_other_weights_or_data_are_refused(do: Do, shared_cache: Path) -> None:
    folder = do().folder
    record = json.loads((folder / "result.json").read_text())
    for part, changed, message in (
        ("weights", {"sha256": "0" * 64}, "backbone weights"),
        ("data", {"splits": {"test": "0" * 64}}, "the test images"),
    ):
        edited(folder, **{**record, part: {**record[part], **changed}})
        with pytest.raises(UserError, match=f"{message} .* cannot be reproduced"):
            rebuild(folder, shared_cache)


NOT_ITS = "is not the config of the run's record"


@pytest.fixture(scope="module")
def made_up(compose_train: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was never trained: what it needs to be rebuilt."""
    return put_model(compose_train, tmp_path_factory.mktemp("made_up") / "run")


def look(run: RebuiltRun) -> None:
    evaluate._look_first(run.folder, evaluate.Arguments(run=str(run.folder)))


def show(run: RebuiltRun) -> None:
    shown: Any = SimpleNamespace(**vars(run), split=run.record.split)
    predictions.scored_images(shown, cache=run.folder)


def export(run: RebuiltRun) -> None:
    exported: Any = SimpleNamespace(run=run)
    scored_images.scored_images(exported, data=None, cache=run.folder)


@pytest.mark.parametrize(
    ("place", "reader", "reads"),
    [
        (module, "load_backbone", lambda run: rebuilt(run.folder)),
        (module, "load_task", lambda run: module.load_scored_split(run, cache=run.folder)),
        (module, "load_task", show),
        (module, "load_task", export),
        (evaluate, "labels_of", look),
    ],
)
def test_what_its_config_names_is_not_quoted(
    made_up: Path,
    place: ModuleType,
    reader: str,
    reads: Callable[[RebuiltRun], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = rebuilt(made_up)
    said: list[str] = []

    def refuse(*_: Any, **__: Any) -> None:
        said.append(of_file("root:x:0"))
        raise UserError("it is no such file")

    monkeypatch.setattr(place, reader, refuse)
    with contextlib.suppress(UserError):
        reads(run)
    assert said == ["…"]


@pytest.fixture
def copied(made_up: Path, tmp_path: Path) -> Path:
    return edited(Path(shutil.copytree(made_up, tmp_path / "run"))).parent


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda text: text + "evil:\n  _target_: os.system\n", "unknown key 'evil'"),
        (lambda text: text.replace("seed: 0", "seed: ${oc.env:HOME}"), "interpolation"),
        (lambda text: text + "x: !!python/object/apply:os.system [echo]\n", "not valid yaml"),
        (lambda text: text[: len(text) // 2], "not valid|holds|has no|is not the config of"),
        (lambda _: "", f"{NOT_ITS}, it has no model.name"),
        (lambda text: text.replace("lr: 0.01\n  weight", "lr: 0.02\n  weight"), NOT_ITS),
        (lambda text: text.replace("epochs: 20\n  batch", "epochs: 21\n  batch"), NOT_ITS),
        (
            lambda text: text.replace("name: vit_mini", "name: other"),
            f"{NOT_ITS}, model.name is 'other', there 'vit_mini'",
        ),
        (
            lambda text: text.replace("source: mini", "source: vtab1k"),
            r"config\.yaml: dataset\.source 'vtab1k' is unknown: choose one of",
        ),
    ],
)
def test_a_config_from_elsewhere_is_data(
    copied: Path, edit: Callable[[str], str], message: str
) -> None:
    path = copied / "config.yaml"
    text = path.read_text()
    assert edit(text) != text
    path.write_text(edit(text))
    with pytest.raises(UserError, match=message):
        rebuilt(copied)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda text: text.replace("name: hydra", "name: ../../x"), "method '../../x' is unknown"),
        (lambda text: text.replace("name: digits", "name: ../../x"), "must be a plain name"),
        (
            lambda text: text.replace("arguments: {}", "arguments: {depth: 100000}"),
            "config.yaml: model.arguments.depth=100000 is not allowed",
        ),
        (
            lambda text: text.replace("arguments: {}", "arguments: {depth: 2}"),
            "the model of its config.yaml has [0-9,]+ adapter parameters, its record says 16,680",
        ),
        (lambda text: text.replace("classes: 10", "classes: 1000000"), "head parameters"),
    ],
)
def test_nothing_is_built_that_is_not_as_large_as_recorded(
    copied: Path, edit: Callable[[str], str], message: str
) -> None:
    path = copied / "config.yaml"
    text = path.read_text()
    assert edit(text) != text
    path.write_text(edit(text))
    with pytest.raises(UserError, match=message):
        rebuilt(copied, doubts=[])


def test_tensors_are_compared_before_they_are_loaded(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = copied / "adapter.safetensors"
    tensors = read_tensors(path)
    tensors["head.weight"] = torch.zeros(500, tensors["head.weight"].shape[1])
    write_tensors(path, tensors, {"format": "1"})
    monkeypatch.setattr(module, "load_adapter", None)
    with pytest.raises(UserError, match=r"does not fit the model .* beyond it 'head\.weight'"):
        rebuilt(copied)


@pytest.mark.parametrize("name", ["adapter.json", "adapter.safetensors"])
@pytest.mark.parametrize(
    ("put", "said"),
    [
        (Path.mkdir, "is no ordinary file"),
        (os.mkfifo, "is no ordinary file"),
        (lambda path: path.symlink_to("nothing"), "is a link to .*/nothing, which is not there"),
        (lambda path: path.symlink_to(path.name), "is one of links that lead to each other"),
        (lambda _: None, "without it the run cannot be rebuilt"),
    ],
)
def test_what_is_in_the_place_of_an_adapter_is_said(
    copied: Path, put: Callable[[Path], None], said: str, name: str
) -> None:
    (copied / name).unlink()
    put(copied / name)
    with pytest.raises(UserError, match=said):
        look_at_run(copied)


def test_a_config_that_is_missing_is_named_once(copied: Path) -> None:
    path = copied / "config.yaml"
    path.unlink()
    with pytest.raises(UserError, match="there is no such file") as raised:
        look_at_run(copied)
    assert str(raised.value).count(str(path)) == 1


@pytest.mark.parametrize("look", [look_at_run, rebuilt])
def test_weights_that_were_moved_are_asked_for_as_they_are_given(
    copied: Path, look: Callable[..., Any]
) -> None:
    path = copied / "config.yaml"
    path.write_text(path.read_text().replace("checkpoint: null", "checkpoint: gone.pth", 1))
    with pytest.raises(
        UserError, match=r"gone\.pth is not there .* give checkpoint=<file>"
    ) as seen:
        look(copied, doubts=[])
    assert str(seen.value).startswith(f"{path}: ")
    assert "model." not in str(seen.value)
    with pytest.raises(UserError, match=r"^no weights .* other\.pth is not there"):
        look(copied, checkpoint="other.pth", doubts=[])


def test_a_record_of_another_task_is_a_doubt(copied: Path) -> None:
    """What scores the run again tells it, and fails."""
    edited(copied, task="cells")
    doubts: list[str] = []
    look_at_run(copied, doubts=doubts)
    assert [" task is 'cells', and " in doubt for doubt in doubts] == [True]


def test_an_adapter_that_was_changed_since_is_told(do: Do) -> None:
    outcome = do("method=linear")
    path = outcome.folder / "adapter.safetensors"
    assert outcome.record.adapter == hashlib.sha256(path.read_bytes()).hexdigest()
    content = bytearray(path.read_bytes())
    content[-4] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"adapter\.safetensors .* is not what the run saved"):
        rebuilt(outcome.folder)
    doubts: list[str] = []
    rebuilt(outcome.folder, doubts=doubts)
    assert len(doubts) == 1


def test_folders_that_are_no_runs(do: Do, shared_cache: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read"):
        rebuild(tmp_path / "nowhere", tmp_path)
    folder = do().folder
    edited(folder, status="interrupted")
    with pytest.raises(UserError, match="is interrupted"):
        rebuild(folder, shared_cache)
