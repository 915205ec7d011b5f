"""scripts/export.py: a run to a folder, and mistakes before torch is loaded."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fabricated_models import put_model

from hydra_peft.cli import export
from hydra_peft.config.check import check_config
from hydra_peft.errors import UserError
from hydra_peft.export import exporting


@pytest.fixture(scope="module")
def folder(compose_train: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return put_model(compose_train, tmp_path_factory.mktemp("run"), "method=hydra")


@pytest.fixture(scope="module")
def linear(compose_train: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return put_model(compose_train, tmp_path_factory.mktemp("linear"), "method=linear")


def test_what_was_written_is_told(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/notes.txt").touch()  # of somebody, and nothing that was written
    monkeypatch.setattr(
        sys, "argv", ["export.py", f"run={folder}", "to=timm", f"output={tmp_path}/out"]
    )
    assert export.main() == 0
    expected = f"written: {tmp_path}/out (README.md, config.json, model.safetensors)\n"
    assert capsys.readouterr() == (expected, "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "to is missing"),
        (["to=zip"], "to=zip is not allowed: it must be timm"),
        (["to=timm", "output={file}"], "is no folder: name one."),
        (["to=timm", "output={theirs}"], "theirs has a README.md that no export wrote"),
        (["to=adapter", "output={earlier}"], "holds an export of another form (model.safetensors)"),
        (["to=torch", "output=there/my.pt2"], "name that, such as output=there/my."),
        (["to=adapter", "output={theirs}"], "theirs/adapter.json: there is a folder of that name"),
        (["to=timm", "output={file}/a"], "cannot write at "),
        (["to=adapter", "output={run}"], "is the folder of a run, whose own files an export would"),
        (["to=timm", "run=/nowhere"], "/nowhere is not there: give the folder of a run"),
        (["to=timm", "checkpoint=/nowhere"], "/nowhere is not there or is not a file"),
        (["too=timm"], "did you mean 'to'"),
        (["to=peft", "run={linear}"], "trains its head alone (method linear), and the peft"),
        (["to=timm", "private=true"], "form= and private= are of to=hub: leave them out"),
    ],
)
def test_mistakes_are_told_before_torch_is_loaded(
    folder: Path,
    linear: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "theirs/adapter.json").mkdir(parents=True)
    (tmp_path / "theirs/README.md").touch()
    (tmp_path / "earlier").mkdir()
    (tmp_path / "earlier/README.md").write_text("A run of hydra_peft, ...")
    (tmp_path / "earlier/model.safetensors").touch()
    # Whoever imports it would load torch in a process of its own.
    monkeypatch.setitem(sys.modules, "hydra_peft.export.source", None)
    places = {"file": tmp_path / "file", "theirs": tmp_path / "theirs", "run": folder}
    places |= {"earlier": tmp_path / "earlier", "linear": linear}
    monkeypatch.setitem(exporting.FORMS, "peft", ())  # whether it is installed or not
    given = [word.format(**places) for word in words]
    run = [] if any(word.startswith("run=") for word in given) else [f"run={folder}"]
    monkeypatch.setattr(sys, "argv", ["export.py", *run, *given])
    assert export.main() == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 1
    assert message in err


def test_a_text_encoder_is_refused_before_torch_is_loaded(
    folder: Path,
    tmp_path: Path,
    compose_train: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = check_config(compose_train("model=roberta_mini", "dataset=mini_glue/supersense"))
    monkeypatch.setattr(exporting, "look_at_run", lambda *_, **__: config)
    monkeypatch.setitem(sys.modules, "hydra_peft.export.source", None)
    with pytest.raises(UserError, match="its backbone, roberta_mini, is none of timm's models"):
        exporting.export_run(folder, "timm", tmp_path / "out")
    assert not (tmp_path / "out").exists()
