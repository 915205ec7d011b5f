"""A plan as text: one line a job, then sums."""

from __future__ import annotations

import heapq
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from hydra_peft.plain_text import in_one_line
from hydra_peft.runs.record import Record
from hydra_peft.sweeps.estimate import PastTimes
from hydra_peft.sweeps.plan import STATES, PlannedJob

#: what states are called in a text
WORDS = {
    "to_resume": "to resume",
    "broken": "cannot work",
    "failed": "failed before",
}


def grid_text(planned: Sequence[PlannedJob], slots: int = 1) -> str:
    """Return what ``sweep.dry_run=true`` prints: state, time, overrides and folder of each job.

    Args:
        planned: the jobs.
        slots: how many are done at a time.
    """
    roots = sorted({job.config.paths.runs for job in planned if job.config})
    past = PastTimes(Path(root) for root in roots)
    times = [past.seconds(job.config) if job.config and job.starts else None for job in planned]
    shared = _shared(planned)
    rows = [("job", "state", "time", "overrides", "folder or reason")]
    for number, (job, seconds) in enumerate(zip(planned, times, strict=True), start=1):
        own = " ".join(word for word in job.job.overrides if word not in shared) or "-"
        time = duration(seconds) if job.starts else "-"
        texts = (in_one_line(own), in_one_line(_about(job)))
        rows.append((str(number), WORDS.get(job.state, job.state), time, *texts))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]])
        for row in rows
    ]
    if shared and len(planned) > 1:
        lines.insert(0, in_one_line(f"all jobs: {' '.join(shared)}"))
    lines += [f"below {root}" for root in roots]
    return "\n".join([*lines, *_sums(planned, times, slots)])


def done_line(record: Record) -> str:
    """Return one line about a run that was done before: what it was, its score, when it was."""
    metrics = record.metrics
    random = ", RANDOM WEIGHTS" if record.random_weights else ""
    return in_one_line(
        f"{record.config_id} {record.benchmark}/{record.task} {record.method_label} "
        f"seed {record.seed}: {metrics['accuracy']:.2f}% {metrics['split']} "
        f"({metrics['selection']}{random}), done {record.when}, skipped"
    )


def duration(seconds: float | None) -> str:
    """Return ``seconds`` in words that fit a table: ``12 s``, ``3 min``, ``2 h 05 min``."""
    if seconds is None:
        return "unknown"
    if seconds < 100:
        return f"{seconds:.0f} s" if seconds >= 1 else "1 s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


def _shared(planned: Sequence[PlannedJob]) -> list[str]:
    """Return the overrides that all jobs have; of a single one none, all are its own."""
    if len(planned) < 2:
        return []
    words = planned[0].job.overrides
    return [word for word in words if all(word in job.job.overrides for job in planned)]


def _about(job: PlannedJob) -> str:
    folder = os.path.relpath(job.folder, job.config.paths.runs) if job.folder and job.config else ""
    if job.state == "broken":
        return job.reason or ""
    return f"{folder} ({job.reason})" if job.reason else folder


def in_slots(times: Sequence[float], slots: int) -> float:
    """Return how long jobs take together, each begun in its turn in the slot that is free first."""
    free = [0.0] * slots
    for seconds in times:
        heapq.heapreplace(free, free[0] + seconds)
    return max(free)


def _sums(planned: Sequence[PlannedJob], times: Sequence[float | None], slots: int) -> list[str]:
    counts = Counter(job.state for job in planned)
    parts = [f"{counts[state]} {WORDS.get(state, state)}" for state in STATES if counts[state]]
    noun = "job" if len(planned) == 1 else "jobs"
    lines = [f"{len(planned)} {noun}: {', '.join(parts)}"]
    wanted = [time for job, time in zip(planned, times, strict=True) if job.starts]
    known = [time for time in wanted if time is not None]
    if not wanted:
        return [*lines, "estimated time: nothing to do"]
    slots = min(slots, len(wanted))
    how = "one after the other" if slots == 1 else f"in {slots} slots"
    total = f"{duration(in_slots(known, slots))} {how}" if known else "unknown"
    missing = len(wanted) - len(known)
    return [
        *lines,
        f"estimated time: {total}"
        + (f", and {missing} of unknown time" if missing and known else ""),
    ]
