"""What sweeps said at their start that they would do: ``<runs>/.sweeps/<time>-<token>.json``."""

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
#: what run_folder makes of any name
_PART = re.compile(r"[A-Za-z0-9_.+=-]+")


@dataclass(frozen=True)
class AnnouncedJob:
    """A job: its run folder relative to the runs, as text, and its overrides in one line."""

    folder: str
    overrides: str


@dataclass(frozen=True)
class AnnouncedSweep:
    """A sweep: when it started (ISO 8601), and its jobs in order."""

    started: str
    jobs: tuple[AnnouncedJob, ...]


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
    return AnnouncedSweep(started, tuple(_job(job, path) for job in jobs))


def _job(job: Any, path: Path) -> AnnouncedJob:
    folder, overrides = (
        (job.get("folder"), job.get("overrides")) if isinstance(job, dict) else (None, None)
    )
    if not isinstance(folder, str) or not isinstance(overrides, str):
        raise UserError(f"{path} has a job without folder or overrides: edited?")
    parts = folder.split("/")
    if {".", ".."} & set(parts) or not all(map(_PART.fullmatch, parts)):
        raise UserError(f"{path} names {folder!r}, which is no folder of a run: edited?")
    return AnnouncedJob(folder, overrides)
