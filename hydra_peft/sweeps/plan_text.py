"""A plan as text: one line a job, then sums."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from statistics import median

from hydra_peft.metrics import score_text
from hydra_peft.plain_text import counted, in_one_line
from hydra_peft.runs.record import Record, completed_score
from hydra_peft.sweeps.durations import duration, in_slots
from hydra_peft.sweeps.estimate import job_times
from hydra_peft.sweeps.plan import STATES, PlannedJob

#: what states are called in a text
WORDS = {
    "to_resume": "to resume",
    "broken": "cannot work",
    "failed": "failed before",
}


def plan_text(planned: Sequence[PlannedJob], slots: int = 1) -> str:
    """Print of ``sweep.dry_run=true``: state, time, overrides and folder of each job.

    Args:
        planned: the jobs.
        slots: how many are done at a time.
    """
    roots = sorted({job.config.paths.runs for job in planned if job.config})
    times = job_times(planned)
    shared = _shared(planned)
    rows = [("job", "state", "time", "overrides", "folder or reason")]
    jobs = zip(planned, times, own_words(planned), strict=True)
    for number, (job, seconds, own) in enumerate(jobs, start=1):
        time = duration(seconds) if job.starts else "-"
        rows.append((str(number), _state(job), time, own, in_one_line(_about(job))))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]])
        for row in rows
    ]
    if shared and len(planned) > 1:
        lines.insert(0, in_one_line(f"all jobs: {' '.join(shared)}"))
    lines += [f"below {root}" for root in roots]
    return "\n".join([*lines, *_sums(planned, times, slots)])


def own_words(planned: Sequence[PlannedJob]) -> list[str]:
    """Return of each job the overrides that not all have, which tell it from the others."""
    shared = _shared(planned)
    own = (" ".join(w for w in job.job.overrides if w not in shared) or "-" for job in planned)
    return [in_one_line(words) for words in own]


def done_line(record: Record) -> str:
    """Return one line about a run that was done before: what it was, its score, when it was."""
    random = ", RANDOM WEIGHTS" if record.random_weights else ""
    return in_one_line(
        f"{record.config_id} {record.benchmark}/{record.task} {record.label} "
        f"seed {record.seed}: {score_text(record.primary, completed_score(record))} "
        f"{record.split} "
        f"({record.rule}{random}), done {record.when}, skipped"
    )


def _shared(planned: Sequence[PlannedJob]) -> list[str]:
    """Return the overrides that all jobs have; of a single one none, all are its own."""
    if len(planned) < 2:
        return []
    words = planned[0].job.overrides
    return [word for word in words if all(word in job.job.overrides for job in planned)]


def _state(job: PlannedJob) -> str:
    return WORDS.get(job.state, job.state) if job.same_as is None else "same"


def _about(job: PlannedJob) -> str:
    folder = os.path.relpath(job.folder, job.config.paths.runs) if job.folder and job.config else ""
    if job.state == "broken":
        return job.reason or ""
    return f"{folder} ({job.reason})" if job.reason else folder


def first_line(
    planned: Sequence[PlannedJob], times: Sequence[float | None], slots: int | None
) -> str:
    """First line of a sweep: ``16 jobs, 0 done, 16 to run, about 9 min``.

    Args:
        planned: the jobs.
        times: seconds of each that is to run, see :func:`hydra_peft.sweeps.estimate.job_times`.
        slots: how many are done at a time; None where that is not known here, and so no time.
    """
    counts = Counter(job.state for job in planned if job.same_as is None)
    to_run = sum(job.starts for job in planned)
    parts = [counted(len(planned), "job"), f"{counts['done']} done", f"{to_run} to run"]
    if counts["failed"]:
        parts.insert(2, f"{counts['failed']} failed before")
    if to_run and slots is not None:
        known, unknown = _total(planned, times, slots)
        more = f" and {unknown} of unknown time" if unknown else ""
        parts.append("time unknown" if known is None else f"about {known}{more}")
    return ", ".join(parts)


def next_line(planned: Sequence[PlannedJob], left: Sequence[PlannedJob], slots: int) -> str | None:
    """Estimate line once a finished run tells how long others take; None if none does.

    Such as ``16 jobs, 1 done, 15 left, about 9 min``. A job that no run is like takes the median of
    the others.

    Args:
        planned: all jobs.
        left: those that have not ended.
        slots: how many are done at a time.
    """
    times = job_times(left)
    known = [seconds for seconds in times if seconds is not None]
    if not known:
        return None
    usual = median(known)
    total = in_slots([usual if seconds is None else seconds for seconds in times], slots)
    counts = [counted(len(planned), "job"), f"{len(planned) - len(left)} done", f"{len(left)} left"]
    return f"{', '.join(counts)}, about {duration(total)}"


def _total(
    planned: Sequence[PlannedJob], times: Sequence[float | None], slots: int
) -> tuple[str | None, int]:
    """Total time of the jobs of known time in words, and the number of others."""
    wanted = [time for job, time in zip(planned, times, strict=True) if job.starts]
    known = [time for time in wanted if time is not None]
    return (duration(in_slots(known, slots)) if known else None), len(wanted) - len(known)


def _sums(planned: Sequence[PlannedJob], times: Sequence[float | None], slots: int) -> list[str]:
    counts = Counter(job.state for job in planned if job.same_as is None)
    parts = [f"{counts[state]} {WORDS.get(state, state)}" for state in STATES if counts[state]]
    if same := len(planned) - counts.total():
        parts.append(f"{same} the same as another")
    lines = [f"{counted(len(planned), 'job')}: {', '.join(parts)}"]
    to_run = sum(job.starts for job in planned)
    if not to_run:
        return [*lines, "estimated time: nothing to do"]
    slots = min(slots, to_run)
    how = "one after the other" if slots == 1 else f"in {slots} slots"
    known, unknown = _total(planned, times, slots)
    total = "unknown" if known is None else f"{known} {how}"
    more = f", and {unknown} of unknown time" if unknown and known else ""
    return [*lines, f"estimated time: {total}{more}"]
