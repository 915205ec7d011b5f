"""evaluate.py and tables.py after a small sweep, from another working directory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest


def call(root: Path, script: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(root / "scripts" / script), *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = Path(__file__).resolve().parents[2]
    folder = tmp_path_factory.mktemp("swept")
    done = call(
        root,
        "train.py",
        "-m",
        "method=hydra,linear",
        "seed=0,1",
        "train.epochs=1",
        "scheduler.warmup_epochs=0",
        f"paths.runs={folder}/runs",
        f"paths.cache={folder}/cache",
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_tables(root: Path, swept: Path) -> None:
    arguments = (f"runs={swept}/runs", f"out={swept}/tables", "name=x")
    done = call(root, "tables.py", *arguments, cwd=swept)
    assert done.returncode == 0, done.stderr
    written = (swept / "tables/x.md").read_text()
    assert written.strip() in done.stdout
    assert "| hydra r=2+2 (scheduler.warmup_epochs=0, train.epochs=1) |" in written
    assert "mean over groups" in written
    frame = pd.read_csv(swept / "tables/x.csv")
    told = "(scheduler.warmup_epochs=0, train.epochs=1)"
    assert set(frame["method"]) == {f"hydra r=2+2 {told}", f"linear {told}"}
    assert set(frame["seeds"]) == {2}


def test_evaluate_reproduces(root: Path, swept: Path) -> None:
    (folder,) = swept.glob("runs/mini/digits/hydra*seed1*")
    arguments = (f"run={folder}", f"cache={swept}/cache", "device=cpu")
    done = call(root, "evaluate.py", *arguments, cwd=swept)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    recorded, unmerged, merged = (line.split()[2] for line in lines[1:])
    assert recorded == unmerged
    assert abs(int(merged) - int(recorded)) <= 1


@pytest.mark.parametrize(
    ("script", "arguments", "message"),
    [
        ("evaluate.py", [], "run is missing"),
        ("evaluate.py", ["run=/nowhere"], "cannot read /nowhere/result.json"),
        ("evaluate.py", ["rnu=x"], "unknown key 'rnu' (did you mean 'run'?)"),
        ("evaluate.py", ["x"], "cannot understand 'x'"),
        ("tables.py", ["runs=/nowhere"], "/nowhere is not a folder"),
    ],
)
def test_mistakes(
    root: Path, tmp_path: Path, script: str, arguments: list[str], message: str
) -> None:
    done = call(root, script, *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
