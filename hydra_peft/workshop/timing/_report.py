"""Measuring, reporting and writing of every suite: one table of rows, its notes and its file."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from hydra_peft.errors import UserError
from hydra_peft.files import write_json
from hydra_peft.memory_errors import memory_sentence
from hydra_peft.plain_text import in_one_line
from hydra_peft.runs import environment
from hydra_peft.training.devices import exact_float32
from hydra_peft.training.profiling import profile_of
from hydra_peft.workshop.timing._machine import card_versions

SCHEMA = 2
#: seconds of each round, by what was measured
Seconds = Mapping[str, Sequence[float]]


@dataclass
class Report:
    """One suite's figures, all from one run on one machine.

    What is measured is told in a line and written at once, to a file of its own beside ``path``
    (``<name>.incomplete.json``), so that an interruption loses the part at hand alone; the file at
    ``path`` is replaced when the suite is through.

    Attributes:
        suite: its name.
        device: what is measured.
        path: the file for all of it, or None for none.
        say: takes lines on how far it is.
        settings: what was measured on: sizes, batches, repetitions.
        rows: one mapping a line of the table.
        notes: sentences under the table: ratios against goals, and what they do not say.
        label: ``measured``, ``predicted`` from measured parts, or both.
        failed: what went wrong where that did not end the suite, in sentences.
    """

    suite: str
    device: torch.device
    path: Path | None = None
    say: Callable[[str], None] = lambda _: None
    settings: dict[str, Any] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    label: str = "measured"
    failed: list[str] = field(default_factory=list)

    def add(self, row: dict[str, Any]) -> None:
        """Take note of one more line of the table, tell it and write what there is."""
        self.rows.append(row)
        self.say(", ".join(f"{key} {_cell(value)}" for key, value in row.items() if value != ""))
        self.save()

    def in_turns(
        self,
        works: Mapping[str, Callable[[], object]],
        rounds: int,
        row: Callable[[str, Seconds], dict[str, Any]],
        *,
        calls: int = 1,
        title: str = "",
    ) -> Seconds:
        """Return the seconds of one call of each of ``works`` in each of ``rounds`` rounds.

        Every round does each work in turn, so that what else the machine does meets all alike. One
        round is done before the first that counts. After each the table ends with its rows so far.

        Args:
            row: the line of one work, from its name and the seconds of all so far.
            calls: of a work in a row, whose mean time is taken: a GPU is waited for once after
                them.
            title: what is measured, where a suite measures several things.
        """
        before = list(self.rows)
        seconds: dict[str, list[float]] = {name: [] for name in works}
        begun = f"{title}: " if title else ""
        self.say(f"{begun}a first round, which does not count")
        for turn in range(rounds + 1):
            for name, work in works.items():
                one = timed(work, self.device, 1, calls=calls)
                if turn:
                    seconds[name] += one
            if turn:
                self.rows = [*before, *(row(name, seconds) for name in works)]
                self.say(f"{begun}round {turn} of {rounds}")
                self.save()
        return seconds

    def compare(
        self, seconds: Seconds, goals: Sequence[tuple[str, str, str]], *, title: str = ""
    ) -> None:
        """Add a note on each ratio of two works that were both measured: above, below, goal."""
        start = f"{title}: " if title else ""
        self.notes += [
            compared(f"{start}{above} / {below}", ratio(seconds, above, below), goal)
            for above, below, goal in goals
            if above in seconds and below in seconds
        ]

    def profile(self, works: Mapping[str, Callable[[], object]], *, title: str) -> None:
        """Note where the time of each of ``works`` goes, by phase and by kind of operator.

        Args:
            works: by name; one sentence has the times of all, phases and kinds in the order
                of the first.
            title: what is measured.
        """
        found = [profile_of(work, self.device) for work in works.values()]
        names = " / ".join(works)
        host = " on the host" if self.device.type == "cuda" else ""
        for what, parts in (
            (f"phase{host}", [one.phases for one in found]),
            ("kind of operator", [one.kinds for one in found]),
        ):
            listed = [
                f"{part} " + " / ".join(readable(one.get(part, 0.0)) for one in parts)
                for part in dict.fromkeys(part for one in parts for part in one)
            ]
            if listed:
                self.notes.append(f"{title}, ms by {what}, {names}: {'; '.join(listed)}")

    def to_markdown(self) -> str:
        """Return table and notes as Markdown."""
        frame = pd.DataFrame(self.rows)
        numbers = [column for column in frame if frame[column].dtype.kind in "fi"]
        align = ["right" if column in numbers else "left" for column in frame]
        frame[numbers] = frame[numbers].map(readable)
        table = frame.fillna("").to_markdown(index=False, disable_numparse=True, colalign=align)
        return "\n".join(
            [f"### bench {self.suite}", "", table, "", *(f"- {n}" for n in self.notes)]
        )

    def save(self, why: str = "not through yet") -> Path | None:
        """Write what there is so far, marked as incomplete; return where to.

        Args:
            why: it is incomplete.
        """
        if self.path is None or not self.rows:
            return None
        partial = self.path.with_suffix(".incomplete.json")
        self._write(partial, why)
        return partial

    def finish(self) -> None:
        """Write everything as json, with date (UTC), hardware, versions and commit.

        Raises:
            OSError: the disk is full or the folder not writable.
        """
        if self.path is not None:
            self._write(self.path, None)
            self.path.with_suffix(".incomplete.json").unlink(missing_ok=True)

    def _write(self, path: Path, incomplete: str | None) -> None:
        content: Mapping[str, Any] = {
            "schema": SCHEMA,
            "suite": self.suite,
            "label": self.label,
            "complete": incomplete is None,
            **({} if incomplete is None else {"incomplete": incomplete}),
            "when": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "hardware": environment.hardware(self.device),
            "versions": {**environment.versions(), **card_versions(self.device)},
            "code": environment.code_version(),
            "settings": self.settings,
            "rows": self.rows,
            "notes": self.notes,
            "failed": self.failed,
        }
        write_json(path, content)


def timed(
    work: Callable[[], object], device: torch.device, times: int, *, calls: int = 1
) -> list[float]:
    """Return ``times`` times the seconds of a call of ``work``, the device's own work included.

    Args:
        calls: in a row, whose mean is one time.
    """
    seconds = []
    for _ in range(times):
        synchronize(device)
        begun = time.perf_counter()
        for _ in range(calls):
            work()
        synchronize(device)
        seconds.append((time.perf_counter() - begun) / calls)
    return seconds


def ratio(seconds: Seconds, above: str, below: str) -> list[float]:
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


def _cell(value: object) -> str:
    return readable(value) if isinstance(value, float) else str(value)


def in_ms(seconds: Sequence[float]) -> dict[str, Any]:
    """Return the cells of a row with the median in milliseconds and the range around it."""
    return {"ms": 1000 * median(seconds), "range": spread([1000 * one for one in seconds])}


def wanted(asked: str, automatic: bool) -> bool:
    """Whether a setting of ``auto``, ``true`` and ``false`` asks for a thing."""
    return asked == "true" or (asked == "auto" and automatic)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Give a temporary folder, which is removed in the end."""
    with tempfile.TemporaryDirectory(prefix="hydra_peft-bench-") as folder:
        yield Path(folder)


def measure(
    suite: str,
    settings: Any,
    device: torch.device,
    path: Path | None,
    say: Callable[[str], None],
) -> Report:
    """Run ``suite`` on ``device`` and write its report to ``path``, if one is given.

    Args:
        settings: the suite's own, see :mod:`hydra_peft.workshop.timing.settings`.
        say: takes a line for each thing measured, at once.

    Raises:
        BaseException: what the suite raises; what it had measured is then in
            ``<name>.incomplete.json`` beside ``path``, with the reason.
    """
    module = import_module(f"hydra_peft.workshop.timing.{suite}")
    report = Report(suite, device, path, say)
    try:
        with exact_float32():  # as runs compute
            module.run(device, settings, report)
    except BaseException as error:
        if report.rows or not isinstance(error, UserError | KeyboardInterrupt):
            stopped = isinstance(error, KeyboardInterrupt)
            said = memory_sentence(error) or f"{type(error).__name__}: {error}"
            said = in_one_line(said)[:2000]
            partial = report.save("interrupted" if stopped else said)
            if partial is not None and report.rows:
                say(f"measured before: {partial}")
        raise
    report.finish()
    return report
