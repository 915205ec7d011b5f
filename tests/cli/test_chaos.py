"""A small sweep under fire; scripts/chaos.py does the same at length."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hydra_peft.cli import chaos


@pytest.mark.long
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="finds processes in /proc")
@pytest.mark.parametrize("how", ["slots=1", "pack=2"])
def test_a_killed_sweep_gives_what_an_undisturbed_one_gives(
    root: Path, tmp_path: Path, how: str
) -> None:
    out = tmp_path / "chaos.json"
    words = ["jobs=2", "kills=2", how, "epochs=2", "pause=1", "seed=1"]
    done = subprocess.run(
        [sys.executable, str(root / "scripts/chaos.py"), *words, f"out={out}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = json.loads(out.read_text())["rows"]
    assert row["jobs"] == 2
    assert row["processes killed"] == 2
    assert row["starts of the command"] >= 2
    assert row["faults"] == 0


@pytest.mark.parametrize("word", ["seed=abc", "slots=-1", "pack=1.5", "jobs=9999999"])
def test_numbers_are_checked_before_a_sweep_is_started(
    word: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["chaos.py", word])
    monkeypatch.setattr(chaos, "_compare", None)
    assert chaos.main() == 2
    assert capsys.readouterr().err.startswith(f"error: {word} is not allowed: it must be a")


def test_a_folder_that_is_not_empty_is_refused(root: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    done = subprocess.run(
        [sys.executable, str(root / "scripts/chaos.py"), f"folder={tmp_path}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "is not empty" in done.stderr
    assert done.stderr.count("\n") == 1
