"""Announcement of a sweep's jobs at its start: ``<runs>/.sweeps/<time>-<token>.json``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra_peft.errors import UserError
from hydra_peft.files import read_json

#: where below the runs the files are
SWEEPS = ".sweeps"
SCHEMA = 1
#: thirty years: no run took them
MAX_SECONDS = 1e9
_MAX_SLOTS = 4096
#: what run_folder makes of any name
_PART = re.compile(r"[A-Za-z0-9_.+=-]+")


@dataclass(frozen=True)
class AnnouncedJob:
    """A job: its run folder relative to the runs, its overrides in one line, seconds expected."""

    folder: str
    overrides: str
    seconds: float | None = None


@dataclass(frozen=True)
class AnnouncedSweep:
    """A sweep: when it started (ISO 8601), its jobs in order, how many are done at a time."""

    started: str
    jobs: tuple[AnnouncedJob, ...]
    slots: int | None = None


def read_sweep(path: Path) -> AnnouncedSweep:
    """Return the sweep that announced itself in ``path``.

    Raises:
        UserError: not such a file, or one that names a folder outside the runs.
    """
    values = read_json(path)
    if values.get("schema") != SCHEMA:
        raise UserError(
            f"{path} has schema {values.get('schema')!r}, this version reads {SCHEMA}: "
            "use the version of hydra_peft that wrote it."
        )
    started, jobs = values.get("started"), values.get("jobs")
    if not isinstance(started, str) or not isinstance(jobs, list):
        raise UserError(f"{path} lacks the start or the jobs of a sweep: edited?")
    slots = values.get("slots")
    known = type(slots) is int and 0 < slots <= _MAX_SLOTS
    return AnnouncedSweep(started, tuple(_job(job, path) for job in jobs), slots if known else None)


def _job(job: Any, path: Path) -> AnnouncedJob:
    folder, overrides = (
        (job.get("folder"), job.get("overrides")) if isinstance(job, dict) else (None, None)
    )
    if not isinstance(folder, str) or not isinstance(overrides, str):
        raise UserError(f"{path} has a job without folder or overrides: edited?")
    parts = folder.split("/")
    if {".", ".."} & set(parts) or not all(map(_PART.fullmatch, parts)):
        raise UserError(f"{path} names {folder!r}, which is no folder of a run: edited?")
    seconds = job.get("seconds")
    known = type(seconds) in (int, float) and 0 < seconds < MAX_SECONDS
    return AnnouncedJob(folder, overrides, float(seconds) if known else None)
