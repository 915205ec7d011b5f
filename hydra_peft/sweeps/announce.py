"""A sweep says at its start what it will do, so that jobs that wait can be seen."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path

from hydra_peft.files import own_folder, write_json
from hydra_peft.sweeps.announced import SCHEMA, SWEEPS
from hydra_peft.sweeps.plan import PlannedJob

#: of announcements that are kept: how many at most, how old
KEPT = 50
AGE = timedelta(days=30)
_TIME = "%Y%m%dT%H%M%SZ"
_NAME = re.compile(r"(\d{8}T\d{6}Z)-[0-9a-f]{8}\.json", re.ASCII)


def announce(
    planned: Sequence[PlannedJob],
    command: str,
    *,
    times: Sequence[float | None] | None = None,
    slots: int | None = None,
) -> None:
    """Write ``<runs>/.sweeps/<time>-<token>.json``, one for each folder of runs.

    Earlier ones older than :data:`AGE` or not among the newest :data:`KEPT` are removed: jobs of
    sweeps that were given up would wait for ever, and every look reads all of them. That costs a
    sweep that is still going on nothing but the list of its jobs that have not begun.

    Args:
        planned: the jobs, done ones too; those without a folder, and those that are the same run as
            another, are left out.
        command: what was typed.
        times: how many seconds each will take, where that is known.
        slots: how many are done at a time, where that is known.

    Raises:
        OSError: the disk takes nothing.
    """
    now = datetime.now(timezone.utc)
    name = f"{now:{_TIME}}-{secrets.token_hex(4)}.json"
    for root in sorted({job.config.paths.runs for job in planned if job.config}):
        jobs = [
            {
                "folder": os.path.relpath(job.folder, root),
                "overrides": job.job.name,
                "seconds": seconds,
            }
            for job, seconds in zip(planned, times or [None] * len(planned), strict=True)
            if job.folder and job.config and job.config.paths.runs == root and job.same_as is None
        ]
        started = now.isoformat(timespec="seconds")
        content = {
            "schema": SCHEMA,
            "started": started,
            "command": command,
            "slots": slots,
            "jobs": jobs,
        }
        own_folder(Path(root) / SWEEPS)
        write_json(Path(root) / SWEEPS / name, content)
        _forget_old(Path(root) / SWEEPS, name, now)


def _forget_old(folder: Path, newest: str, now: datetime) -> None:
    """Remove what is too old or too many from ``folder``, never ``newest`` or files of others."""
    oldest = f"{now - AGE:{_TIME}}"
    earlier = [name for name in os.listdir(folder) if _NAME.fullmatch(name) and name != newest]
    for place, name in enumerate(sorted(earlier, reverse=True), start=1):
        if place >= KEPT or name < oldest:  # times written so sort as they come
            with contextlib.suppress(OSError):  # not ours to remove, or another sweep was quicker
                (folder / name).unlink()
