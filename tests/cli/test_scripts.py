"""evaluate.py and tables.py after a small sweep, from another working directory."""

from __future__ import annotations

import contextlib
import io
import runpy
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from few_images import SIZES, shorten
from hydra.core.global_hydra import GlobalHydra

from hydra_peft.cli import evaluate, figures, tables


def call(root: Path, script: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(root / "scripts" / script), *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def run_here(root: Path, script: str, *arguments: str, cwd: Path) -> tuple[int, str]:
    """Run a script that needs torch in this process, as another would; return code and stdout."""
    out = io.StringIO()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out):
        patch.chdir(cwd)
        patch.syspath_prepend(str(root / "scripts"))
        patch.setattr(sys, "argv", [script, *arguments])
        shorten(patch)
        GlobalHydra.instance().clear()
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(root / "scripts" / script), run_name="__main__")
    GlobalHydra.instance().clear()
    for number, handler in before.items():
        signal.signal(number, handler)
    return int(end.value.code or 0), out.getvalue()


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = Path(__file__).resolve().parents[2]
    folder = tmp_path_factory.mktemp("swept")
    sizes = ",".join(f"{name}:{size}" for name, size in SIZES.items())
    code, _ = run_here(
        root,
        "train.py",
        "-m",
        "method=hydra,linear",
        "seed=0,1",
        "train.epochs=1",
        "scheduler.warmup_epochs=0",
        f"dataset.sizes={{{sizes}}}",
        f"paths.runs={folder}/runs",
        f"paths.cache={folder}/cache",
        "device=cpu",
        cwd=folder,
    )
    assert code == 0
    return folder


def test_tables(root: Path, swept: Path) -> None:
    arguments = (f"runs={swept}/runs", f"out={swept}/tables", "name=x")
    done = call(root, "tables.py", *arguments, cwd=swept)
    assert done.returncode == 0, done.stderr
    written = (swept / "tables/x.md").read_text()
    assert written.strip() in done.stdout
    assert "All rows: scheduler.warmup_epochs=0, train.epochs=1" in written
    assert "| hydra r=2+2 |" in written
    assert "mean over groups" in written
    frame = pd.read_csv(swept / "tables/x.csv")
    told = "(scheduler.warmup_epochs=0, train.epochs=1)"
    assert set(frame["method"]) == {f"hydra r=2+2 {told}", f"linear {told}"}
    assert set(frame["seeds"]) == {2}


def test_evaluate_reproduces(root: Path, swept: Path) -> None:
    (folder,) = swept.glob("runs/mini/digits/hydra*seed1*")
    arguments = (f"run={folder}", f"cache={swept}/cache", "device=cpu")
    code, out = run_here(root, "evaluate.py", *arguments, cwd=swept)
    assert code == 0
    lines = out.splitlines()
    recorded, stored, unmerged, merged = (line.split()[2] for line in lines[1:])
    assert recorded == stored == unmerged
    assert abs(int(merged) - int(recorded)) <= 1


@pytest.mark.parametrize(
    ("main", "arguments", "message"),
    [
        (evaluate.main, [], "run is missing"),
        (evaluate.main, ["run=/nowhere"], "/nowhere is not there: give the folder of a run"),
        (evaluate.main, ["run=/etc/hostname"], "/etc/hostname is a file"),
        (
            evaluate.main,
            ["run={swept}"],
            "it has no result.json: give the folder of one, such as {",
        ),
        (evaluate.main, ["run={swept}/cache"], "give the folder of one, as train.py printed it"),
        (evaluate.main, ["run={run}", "checkpoint=/nowhere"], "checkpoint=/nowhere is not there"),
        (evaluate.main, ["rnu=x"], "unknown key 'rnu' (did you mean 'run'?)"),
        (evaluate.main, ["x"], "cannot understand 'x'"),
        (figures.main, ["figure=3", "run={swept}/cache"], "it has no result.json"),
        (tables.main, ["runs=/nowhere"], "/nowhere is not a folder"),
    ],
)
def test_mistakes(
    swept: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    main: Callable[[], int],
    arguments: list[str],
    message: str,
) -> None:
    run = next(swept.glob("runs/mini/digits/hydra*seed1*"))
    words = [word.format(swept=swept, run=run) for word in arguments]
    monkeypatch.setattr(sys, "argv", ["script", *words])
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert main() == 2
    said = capsys.readouterr().err
    assert message.replace("{", str(swept)) in said
    assert said.count("\n") == 1
