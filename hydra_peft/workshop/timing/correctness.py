"""Suite ``correctness``: the tests that need a GPU, each with its outcome."""

from __future__ import annotations

import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import torch

from hydra_peft.checkout import ROOT
from hydra_peft.cores import usable_cores
from hydra_peft.errors import UserError
from hydra_peft.listed import listed
from hydra_peft.workshop.timing._processes import Ended, run_limited
from hydra_peft.workshop.timing._report import Report
from hydra_peft.workshop.timing._told_tests import MARK
from hydra_peft.workshop.timing.settings import CorrectnessSettings

#: tests of other things beside which there is one for a GPU
ALSO = ("test_low_rank_update",)


def run(device: torch.device, settings: CorrectnessSettings, report: Report) -> None:
    """Run the tests, those of each file in a process of its own, several at a time.

    A CUDA error spoils the process that it happened in: tests of other files stay out of it.

    Raises:
        UserError: pytest or the tests are not there.
    """
    if find_spec("pytest") is None:
        raise UserError("the tests for a GPU need pytest, which is not installed: pip install it.")
    files = test_files(settings.only)
    report.settings = {**vars(settings), "files": [file.name for file in files]}
    with ThreadPoolExecutor(max(1, usable_cores() // 4)) as at_once:
        lock = threading.Lock()
        list(at_once.map(lambda file: _test(file, settings, report, lock), files))
    outcomes = [row["outcome"] for row in report.rows]
    report.notes.append(
        f"{len(outcomes)} tests on {device.type}: {outcomes.count('passed')} passed, "
        f"{outcomes.count('failed')} failed, {outcomes.count('skipped')} skipped"
    )


def test_files(only: str) -> list[Path]:
    """Return the files that have tests for a GPU.

    Raises:
        UserError: there is none, or not the one that is asked for.
    """
    found = {path.stem: path for path in sorted((ROOT / "tests").rglob("test_*.py"))}
    names = [name for name in found if name.startswith("test_gpu_") or name in ALSO]
    if only != "all":
        names = listed("only", only)
    missing = [name for name in names if name not in found]
    if missing or not names:
        raise UserError(
            f"{ROOT / 'tests'} has no {', '.join(missing) or 'tests for a GPU'}: this suite needs "
            "a checkout, see only=."
        )
    return [found[name] for name in names]


def _test(file: Path, settings: CorrectnessSettings, report: Report, lock: threading.Lock) -> None:
    count = 0

    def hear(line: str) -> None:
        nonlocal count
        if line.startswith(MARK):
            row = json.loads(line.removeprefix(MARK))
            count += 1
            with lock:
                report.add(row)
                if row["outcome"] == "failed":
                    report.failed.append(f"{row['test']}: {row['said']}")

    command = [sys.executable, "-m", "pytest", "-p", "hydra_peft.workshop.timing._told_tests"]
    options = ["-p", "no:cacheprovider", "-m", settings.marked, str(file)]
    ended = run_limited([*command, *options], ROOT, settings.seconds, hear)
    if ended.stopped or ended.code not in (0, 1) or count == 0:
        with lock:
            said = _reason(ended)
            report.add({"test": file.name, "outcome": "failed", "s": ended.seconds, "said": said})
            report.failed.append(f"{file.name}: {said}")


def _reason(ended: Ended) -> str:
    if ended.stopped:
        return f"stopped after {ended.seconds:.0f} s"
    words = [line for line in ended.lines if line.strip() and not line.startswith(MARK)]
    return f"pytest ended with {ended.code}: {' / '.join(words[-3:])}"[:500]
