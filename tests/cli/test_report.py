"""scripts/report.py: a page at the end, or one sentence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from fabricated_runs import put

from hydra_peft.cli import report
from hydra_peft.cli.report import _pictures
from hydra_peft.figures import CollectionFigure
from hydra_peft.runs.collection import Collection, collect


def call(root: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(root / "scripts" / "report.py"), *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put(tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["report.py", "runs=runs", "out=new/page.html"])
    assert report.main() == 0
    assert capsys.readouterr().out.startswith("written: new/page.html (0.")
    text = (tmp_path / "new" / "page.html").read_text()
    assert text.startswith("<!DOCTYPE html>")
    assert text.count("hydra r=2+2") >= 3


def test_a_picture_that_fails_is_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path)

    def fails(figure: CollectionFigure, _: Collection) -> None:
        raise ZeroDivisionError(f"in {figure.name}")

    monkeypatch.setattr("hydra_peft.report.pictures.draw", fails)
    pictures, undrawn = _pictures(collect(tmp_path))
    assert pictures == []
    assert "figure gain is not drawn: ZeroDivisionError: in gain" in undrawn


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["runs=/nowhere"], "/nowhere is not a folder"),
        (["runs=."], "holds no run"),
        (["runs=.", "out=page.txt"], "out=page.txt is not allowed"),
        (["run=x"], "unknown key 'run' (did you mean 'runs'?)"),
    ],
)
def test_mistakes(root: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    done = call(root, *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
