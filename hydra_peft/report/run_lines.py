"""Runs as a report lists them: what each is called, how it ended, and what is unusual about it."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from hydra_peft.plain_text import rounded
from hydra_peft.runs.collection import KILLED, Collection, FoundRun
from hydra_peft.runs.record import Record
from hydra_peft.tables.grouping import run_label
from hydra_peft.tables.labels import PARTIAL, RANDOM, weights_label
from hydra_peft.tables.measures import Measure, measure_of

DIRTY = "dirty commit"
NO_COMMIT = "no commit"
ON_TEST = "selected on test"


@dataclass(frozen=True)
class Badge:
    """A short mark; ``kind`` is ``plain`` or ``caution``, ``title`` says what it means."""

    text: str
    kind: str
    title: str


@dataclass(frozen=True)
class RunLine:
    """One run.

    Attributes:
        key: names it in links: the same as long as its folder is.
        path: its folder.
        folder: the same, relative to the runs.
        label: what it is called, as its row in tables is.
        status: the record's, or :data:`KILLED`.
        cause: what ended it, where it did not complete.
        badges: what a reader should know before comparing it.
    """

    key: str
    path: Path
    folder: str
    record: Record
    label: str
    status: str
    cause: str
    badges: tuple[Badge, ...]

    @property
    def task(self) -> str:
        """The benchmark and the task, ``mini/digits``."""
        return f"{self.record.benchmark}/{self.record.task}"

    @property
    def score(self) -> float | None:
        """By its primary metric, of a completed run."""
        return self.record.score if self.status == "completed" else None

    @property
    def measure(self) -> Measure:
        """Metric, direction and bounds of the score."""
        return measure_of(self.record.primary)

    @property
    def shown(self) -> str:
        """The score as it is printed, with its unit; empty where there is none."""
        if self.score is None:
            return ""
        return f"{rounded(self.score, self.measure.decimals(2))}{self.measure.unit}"

    @property
    def seconds(self) -> float | None:
        """Wall time of the whole run."""
        seconds = self.record.times.get("total")
        return float(seconds) if isinstance(seconds, (int, float)) else None

    def is_marked(self, text: str) -> bool:
        """Whether a badge says ``text``."""
        return any(badge.text == text for badge in self.badges)


def run_lines(runs: Path, collection: Collection) -> list[RunLine]:
    """Return all runs of ``collection``, by folder."""
    found = sorted([*collection.completed, *collection.others], key=lambda run: str(run.folder))
    killed, defaults = collection.killed, collection.defaults
    return [
        _line(runs, run, run_label(run.record, defaults), run.folder in killed) for run in found
    ]


def run_key(folder: str) -> str:
    """Return the key of the run in ``folder``, which is relative to the runs."""
    return hashlib.sha256(folder.encode(errors="surrogateescape")).hexdigest()[:10]


def _line(runs: Path, run: FoundRun, label: str, killed: bool) -> RunLine:
    record = run.record
    status = KILLED if killed else record.status
    folder = os.path.relpath(run.folder, runs)
    cause = {KILLED: "killed: nobody alive is doing it", "running": "not over yet"}.get(status, "")
    if status in ("failed", "diverged", "interrupted"):
        cause = str(record.error or "no cause is recorded")
    badges = _badges(record)
    return RunLine(run_key(folder), run.folder, folder, record, label, status, cause, badges)


def _badges(record: Record) -> tuple[Badge, ...]:
    badges = []
    if weights_label(record) == RANDOM:
        badges.append(Badge(RANDOM, "caution", "the backbone was not pretrained"))
    if record.data.get("partial"):
        badges.append(Badge(PARTIAL, "caution", "a split is not the whole task's"))
    if record.selected_on_test:
        badges.append(
            Badge(ON_TEST, "caution", "the epoch was chosen by its score on the test set")
        )
    if record.code.get("dirty"):
        badges.append(Badge(DIRTY, "caution", "the checkout had changes that were not committed"))
    elif not record.code.get("commit"):
        badges.append(Badge(NO_COMMIT, "caution", "which code ran is not known"))
    if record.settings.get("protocol.tune"):
        badges.append(Badge("tuned", "plain", "hyper-parameters chosen on held-out data"))
    if record.resumed:
        badges.append(Badge("resumed", "plain", "went on after an interruption"))
    return tuple(badges)
