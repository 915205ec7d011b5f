"""What a benchmark found, for people and for programs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from hydra_peft.files import write_json
from hydra_peft.runs import environment

SCHEMA = 1


@dataclass
class Report:
    """One suite's figures, all from one run on one machine.

    Attributes:
        suite: its name.
        settings: what was measured on: sizes, batches, repetitions.
        rows: one mapping a line of the table.
        notes: sentences under the table: ratios against goals, and what they do not say.
        label: ``measured``, or ``predicted`` from measured parts.
    """

    suite: str
    settings: dict[str, Any]
    rows: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    label: str = "measured"

    def to_markdown(self) -> str:
        """Return table and notes as Markdown."""
        frame = pd.DataFrame(self.rows)
        numbers = [column for column in frame if frame[column].dtype.kind in "fi"]
        align = ["right" if column in numbers else "left" for column in frame]
        frame[numbers] = frame[numbers].map(readable)
        table = frame.to_markdown(index=False, disable_numparse=True, colalign=align)
        return "\n".join(
            [f"### bench {self.suite}", "", table, "", *(f"- {n}" for n in self.notes)]
        )

    def write(self, path: Path, device: torch.device) -> None:
        """Write everything as json, with date (UTC), hardware, versions and commit.

        Raises:
            OSError: the disk is full or the folder not writable.
        """
        content: Mapping[str, Any] = {
            "schema": SCHEMA,
            "suite": self.suite,
            "label": self.label,
            "when": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "hardware": environment.hardware(device),
            "versions": environment.versions(),
            "code": environment.code_version(),
            "settings": self.settings,
            "rows": self.rows,
            "notes": self.notes,
        }
        write_json(path, content)


def timed(work: Callable[[], object], device: torch.device, times: int) -> list[float]:
    """Return the seconds of each of ``times`` calls of ``work``, the device's own work included."""
    seconds = []
    for _ in range(times):
        synchronize(device)
        begun = time.perf_counter()
        work()
        synchronize(device)
        seconds.append(time.perf_counter() - begun)
    return seconds


def in_turns(
    works: Mapping[str, Callable[[], object]], device: torch.device, rounds: int
) -> dict[str, list[float]]:
    """Return the seconds of each of ``works`` in each of ``rounds`` rounds.

    Every round does each work once, so that what else the machine does meets all alike. One round
    is done before the first that counts.
    """
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(rounds + 1):
        for name, work in works.items():
            (one,) = timed(work, device, 1)
            if turn:
                seconds[name].append(one)
    return seconds


def ratio(seconds: Mapping[str, Sequence[float]], above: str, below: str) -> list[float]:
    """Return the quotient of two works' seconds, round by round."""
    return [a / b for a, b in zip(seconds[above], seconds[below], strict=True)]


def compared(title: str, quotients: Sequence[float], goal: str) -> str:
    """Return the sentence on one ratio: its median, its range, and what was aimed at."""
    return f"{title}: {readable(median(quotients))} ({spread(quotients)}; goal {goal})"


def synchronize(device: torch.device) -> None:
    """Wait until ``device`` has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def spread(values: Sequence[float]) -> str:
    """Return ``min to max``, to be read beside a median."""
    return f"{readable(min(values))} to {readable(max(values))}"


def readable(value: float) -> str:
    """Return ``value`` with four digits or, above a thousand, as a whole number; NaN is empty."""
    if value != value:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def median(values: Sequence[float]) -> float:
    """Return the median of ``values``."""
    return statistics.median(values)
