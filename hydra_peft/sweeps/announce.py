"""A sweep says at its start what it will do, so that jobs that wait can be seen."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

from hydra_peft.files import write_json
from hydra_peft.sweeps.announced import SCHEMA, SWEEPS
from hydra_peft.sweeps.plan import PlannedJob


def announce(planned: Sequence[PlannedJob], command: str) -> None:
    """Write ``<runs>/.sweeps/<time>-<token>.json``, one for each folder of runs.

    Args:
        planned: the jobs, done ones too; those without a folder are left out.
        command: what was typed.

    Raises:
        OSError: the disk takes nothing.
    """
    now = datetime.now(timezone.utc)
    name = f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}.json"
    for root in sorted({job.config.paths.runs for job in planned if job.config}):
        jobs = [
            {"folder": os.path.relpath(job.folder, root), "overrides": job.job.name}
            for job in planned
            if job.folder and job.config and job.config.paths.runs == root
        ]
        started = now.isoformat(timespec="seconds")
        content = {"schema": SCHEMA, "started": started, "command": command, "jobs": jobs}
        write_json(Path(root) / SWEEPS / name, content)
