"""Suite ``busy``: training on a CPU beside other programs, against the same CPU alone."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from hydra_peft.checkout import script_command
from hydra_peft.cores import VARIABLES, usable_cores
from hydra_peft.errors import UserError
from hydra_peft.runs.folder import METRICS
from hydra_peft.workshop.timing._report import Report, median, readable, scratch_folder, spread
from hydra_peft.workshop.timing.settings import BusySettings

#: how threads are chosen, and how a table says it
_THREADS = {"follow": "threads that follow the load", "fixed": "a thread for each core"}


def run(device: torch.device, settings: BusySettings, report: Report) -> None:
    """Measure images a second with threads that follow the load and with a fixed number.

    Raises:
        UserError: ``device`` is no CPU, or a setting leaves nothing to measure.
    """
    if device.type != "cpu":
        raise UserError("suite busy measures the threads of a CPU: give device=cpu.")
    if min(settings.rounds, settings.slow_rounds, settings.epochs, settings.neighbours) < 1:
        raise UserError("rounds, slow_rounds, epochs and neighbours are to be at least 1.")
    report.settings = dict(vars(settings))
    kinds = [(threads, beside) for beside in (0, settings.neighbours) for threads in _THREADS]
    rates: dict[tuple[str, int], list[float]] = {kind: [] for kind in kinds}
    with scratch_folder() as folder:
        _train(folder, "follow", 1, None)  # fills the cache of decoded images
        for number in range(1, settings.rounds + 1):
            for threads, beside in kinds:
                if number > settings.slow_rounds and (threads, beside) == kinds[-1]:
                    continue
                with _neighbours(beside):
                    rate = _train(folder, threads, settings.epochs, settings.seconds)
                rates[threads, beside].append(rate)
                report.rows = [_row(kind, found) for kind, found in rates.items() if found]
                name = f"{_THREADS[threads]} beside {beside} busy programs"
                report.say(
                    f"round {number} of {settings.rounds}: {name}: {readable(rate)} images/s"
                )
                report.save()
    report.notes += _notes(rates, settings.neighbours)


def _row(kind: tuple[str, int], found: list[float]) -> dict[str, object]:
    threads, beside = kind
    return {
        "threads": _THREADS[threads],
        "busy programs beside": beside,
        "images/s, median": median(found),
        "least": min(found),
        "most": max(found),
        "runs": len(found),
    }


def _notes(rates: Mapping[tuple[str, int], list[float]], beside: int) -> list[str]:
    quiet, before = rates["follow", 0], rates["fixed", 0]
    costs = [ours / fixed for ours, fixed in zip(quiet, before, strict=True)]
    alone = median(quiet)
    sentences = [
        f"alone, following the load / fixed: {readable(median(costs))} ({spread(costs)}; "
        "goal at least 0.97)"
    ]
    for threads, title in _THREADS.items():
        kept = [rate / alone for rate in rates[threads, beside]]
        sentences.append(
            f"beside {beside} busy, {title}: {readable(median(kept))} of the rate alone "
            f"({spread(kept)}{'; goal at least 0.4 in each run' if threads == 'follow' else ''})"
        )
    return sentences


def _train(folder: Path, threads: str, epochs: int, seconds: int | None) -> float:
    """Train one run in a process of its own; return the images a second of its epochs."""
    runs = folder / "runs"
    words = [f"paths.runs={runs}", f"paths.cache={folder}/cache", f"train.epochs={epochs}"]
    words += ["scheduler.warmup_epochs=0", "train.checkpoint_every=null", "device=cpu"]
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    if threads == "fixed":
        environment["OMP_NUM_THREADS"] = str(usable_cores())
    command = [*script_command("train"), *words]
    with suppress(subprocess.TimeoutExpired):  # what is written of it counts
        subprocess.run(command, env=environment, timeout=seconds, check=True, capture_output=True)
    with next(runs.rglob(METRICS)).open(encoding="utf-8") as file:
        rows = [
            (float(row["seconds"]), float(row["images_per_second"])) for row in csv.DictReader(file)
        ]
    shutil.rmtree(runs)
    if not rows:
        return 0.0  # no epoch was over in time
    return sum(s * rate for s, rate in rows) / sum(s for s, _ in rows)


@contextmanager
def _neighbours(count: int) -> Iterator[None]:
    """Keep ``count`` cores busy meanwhile."""
    command = [sys.executable, "-c", "while True: pass"]
    # As of somebody else: Linux shares cores out by session first.
    busy = [subprocess.Popen(command, start_new_session=True) for _ in range(count)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()
