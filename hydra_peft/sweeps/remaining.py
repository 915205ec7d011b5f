"""Remaining jobs of a sweep and their time, from its announcement and its runs."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from hydra_peft.sweeps.announced import AnnouncedJob, AnnouncedSweep
from hydra_peft.sweeps.durations import in_slots

if TYPE_CHECKING:
    from hydra_peft.sweeps.status import SeenRun

#: states of jobs that a sweep has still to do
_LEFT = ("running", "waiting", "to resume")


@dataclass(frozen=True)
class Remaining:
    """Remaining part of a sweep.

    Attributes:
        started: when it started, ISO 8601.
        jobs, done, failed, left, running: numbers of jobs; those running are among those left.
        seconds: how long those left take, in the slots that the sweep has; None if nothing tells.
    """

    started: str
    jobs: int
    done: int
    failed: int
    left: int
    running: int
    seconds: float | None


def what_remains(sweeps: Iterable[AnnouncedSweep], runs: Mapping[str, SeenRun]) -> list[Remaining]:
    """Return the remaining part of each unfinished sweep.

    A job that several announced, as those typed again do, is the newest one's.

    Args:
        sweeps: the newest first.
        runs: by their folders.
    """
    taken: set[str] = set()
    found = []
    for sweep in sweeps:
        own = [job for job in sweep.jobs if job.folder in runs and job.folder not in taken]
        taken |= {job.folder for job in own}
        remaining = _remaining(sweep, own, runs)
        if remaining.left:
            found.append(remaining)
    return found


def _remaining(
    sweep: AnnouncedSweep, jobs: Sequence[AnnouncedJob], runs: Mapping[str, SeenRun]
) -> Remaining:
    states = [runs[job.folder].state for job in jobs]
    running = states.count("running")
    # Those going on come first: who waits gets the slots that they leave.
    left = [job for job in jobs if runs[job.folder].state in _LEFT]
    left.sort(key=lambda job: runs[job.folder].state != "running")
    return Remaining(
        started=sweep.started,
        jobs=len(jobs),
        done=states.count("done"),
        failed=states.count("failed") + states.count("diverged"),
        left=len(left),
        running=running,
        seconds=_seconds(left, jobs, runs, max(sweep.slots or 1, running)),
    )


def _seconds(
    left: Sequence[AnnouncedJob],
    jobs: Sequence[AnnouncedJob],
    runs: Mapping[str, SeenRun],
    slots: int,
) -> float | None:
    """Estimate the seconds of the jobs ``left`` by what others of ``jobs`` took; before any of a
    kind is done, by what one that is under way takes as a whole."""
    taken, under_way = _by_kind(jobs, runs, "seconds"), _by_kind(jobs, runs, "whole")
    taken = {**under_way, **taken}

    def time(job: AnnouncedJob) -> float | None:
        going_on = runs[job.folder].eta
        alike = taken.get(_kind(job))
        if going_on is not None:
            return going_on
        return median(alike) if alike else job.seconds

    times = [time(job) for job in left]
    known = [job.seconds for job in left if job.seconds is not None]
    known += [seconds for alike in taken.values() for seconds in alike]
    if not known:
        return None
    usual = median(known)
    return in_slots([usual if seconds is None else seconds for seconds in times], slots)


def _by_kind(
    jobs: Iterable[AnnouncedJob], runs: Mapping[str, SeenRun], what: str
) -> dict[tuple[str, str], list[float]]:
    """Return what is known of ``what``, an attribute of runs in seconds, by kind of job."""
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for job in jobs:
        if (seconds := getattr(runs[job.folder], what)) is not None:
            found[_kind(job)].append(seconds)
    return found


def _kind(job: AnnouncedJob) -> tuple[str, str]:
    """Return the task and the method of a job, by its folder."""
    task, name = os.path.split(job.folder)
    return task, name.rpartition("-seed")[0]
