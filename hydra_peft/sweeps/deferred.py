"""Jobs that somebody else does now: waited for, and taken back where nobody does them any more."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path

from hydra_peft.config.identity import config_id
from hydra_peft.errors import UserError
from hydra_peft.runs.claims import Claimed, Watch, claim
from hydra_peft.runs.record import Record, read_record
from hydra_peft.sweeps.job import ElsewhereRun, Job, JobEnd
from hydra_peft.sweeps.lines import describe

#: between two looks at what others do
POLL_SECONDS = 2.0
#: statuses that a run of somebody else keeps
_FINAL = ("completed", "failed", "diverged")


@dataclass
class _Waiting:
    job: Job
    run: ElsewhereRun
    watch: Watch
    before: Record | None


@dataclass
class Deferred:
    """The jobs of a sweep that others hold the claims of."""

    _waiting: list[_Waiting] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, end: JobEnd) -> None:
        """Keep the job of ``end``, whose status is ``claimed``."""
        run = end.elsewhere
        if run is None:
            raise ValueError(f"an end without the run that is waited for: {end}")
        folder = Path(run.folder)
        watch = Watch(Path(run.runs), folder)
        self._waiting.append(_Waiting(end.job, run, watch, _record(folder)))

    def poll(self) -> tuple[list[JobEnd], list[Job]]:
        """Return the jobs that others have ended since, and those that are to be done here after
        all.

        To be called every :data:`POLL_SECONDS`: see :class:`hydra_peft.runs.claims.Watch`.
        """
        ends: list[JobEnd] = []
        jobs: list[Job] = []
        still: list[_Waiting] = []
        for waiting in self._waiting:
            if not waiting.watch.is_dead():
                still.append(waiting)
                continue
            end = _ended_elsewhere(waiting)
            if end is not None:
                ends.append(end)
            elif _is_free(waiting):
                jobs.append(waiting.job)
            else:
                still.append(waiting)
        self._waiting = still
        return ends, jobs


def _ended_elsewhere(waiting: _Waiting) -> JobEnd | None:
    folder = Path(waiting.run.folder)
    record = _record(folder)
    # A record of before the wait is not what the other one was doing; one of a search is not the
    # job's own.
    known = waiting.before is not None and waiting.before == record
    if record is None or known or record.status not in _FINAL or not _is_of(waiting.job, record):
        return None
    line = describe(record, folder, f"done by {waiting.run.host}")
    return JobEnd(waiting.job, record.status, line, metric=record.score, error=record.error)


def _is_of(job: Job, record: Record) -> bool:
    return config_id(job.run_config()) == record.config_id


def _is_free(waiting: _Waiting) -> bool:
    """Give back, for its owner, a claim that has lost its heartbeat; False if it beats again."""
    if waiting.watch.dead is not None:
        with contextlib.suppress(Claimed):
            runs, folder = Path(waiting.run.runs), Path(waiting.run.folder)
            with claim(runs, folder, dead=waiting.watch.dead):
                return True
        return False
    return True


def _record(folder: Path) -> Record | None:
    try:
        return read_record(folder)
    except UserError:
        return None
