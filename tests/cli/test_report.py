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
    page = tmp_path / "new" / "page.html"
    text = page.read_text()
    assert text.startswith("<!DOCTYPE html>")
    assert text.count("hydra r=2+2") >= 3

    monkeypatch.setattr("hydra_peft.cli.report.write_report", lambda *_: (1, 0))
    for theirs, code in (("<!DOCTYPE html><title>My thesis</title>", 2), (text, 0), ("", 0)):
        page.write_text(theirs)
        assert report.main() == code
        assert page.read_text() == theirs
    assert capsys.readouterr().err.startswith("error: out=new/page.html is there, and no report")

    asked: list[Path] = []
    monkeypatch.setattr(
        report, "check_spares_data", lambda files, runs: asked.extend([*files, runs])
    )
    assert report.main() == 0
    assert asked == [Path("new/page.html"), Path("runs")]


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
