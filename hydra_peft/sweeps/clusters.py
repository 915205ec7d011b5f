"""The jobs of a sweep given to submitit: submitted, watched, told of when they end."""

from __future__ import annotations

import contextlib
import logging
import time
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra_peft.commands import command
from hydra_peft.errors import UserError
from hydra_peft.runs.claims import holder
from hydra_peft.sweeps.console import log_to_console
from hydra_peft.sweeps.deferred import POLL_SECONDS, Deferred
from hydra_peft.sweeps.job import ElsewhereRun, Job, JobEnd
from hydra_peft.sweeps.plan import PlannedJob
from hydra_peft.sweeps.slurm_queue import QUEUE_SECONDS, SlurmQueue
from hydra_peft.sweeps.submitted import SubmittedJob

log = logging.getLogger("hydra_peft")

#: largest array of jobs that SLURM takes where nobody has configured another
ARRAY = 1000
#: how long a result may take to be seen on a shared disk after its job has ended; and longer than
#: an answer of SLURM's queue is kept, since a job that it requeues may look dead in one
RESULT_SECONDS = QUEUE_SECONDS + 10.0
#: how long jobs of this machine may take to end when they are told to
CANCEL_SECONDS = 10.0


def launch_jobs(
    executor: Any,
    planned: Sequence[PlannedJob],
    *,
    at_once: int | None = None,
    fail_fast: bool = False,
) -> Generator[JobEnd, None, None]:
    """Submit the jobs of ``planned`` and give each end when it is seen, in no particular order.

    A job that somebody does already is not submitted but waited for, and submitted if its claim is
    given back or dies. Who stops asking leaves jobs that SLURM has to SLURM, where they go on;
    those of this machine are interrupted.

    Args:
        executor: of submitit, its parameters set.
        at_once: jobs that are with it at a time; None or 0: all.
        fail_fast: cancel the others as soon as one does not complete.

    Raises:
        UserError: a job was not taken.
    """
    log_to_console()
    cluster = _Cluster(executor, at_once)
    for job in planned:
        if job.state == "running":
            cluster.deferred.add(_claimed(job))
        else:
            cluster.todo.append(job.job)
    try:
        while cluster.todo or cluster.submitted or cluster.deferred:
            cluster.submit()
            for end in cluster.poll():
                if end.error is not None and fail_fast:
                    cluster.cancel()
                yield end
            if cluster.submitted or cluster.deferred:
                time.sleep(POLL_SECONDS)
    finally:
        cluster.leave()


@dataclass
class _Submitted:
    job: Job
    handle: Any  # submitit.Job
    gone: float | None = None  # since when it has ended without a result


@dataclass
class _Cluster:
    executor: Any
    at_once: int | None
    todo: deque[Job] = field(default_factory=deque)
    submitted: list[_Submitted] = field(default_factory=list)
    deferred: Deferred = field(default_factory=Deferred)
    queue: SlurmQueue = field(default_factory=SlurmQueue)

    def submit(self) -> None:
        """Submit as many jobs as may be, many in one array."""
        while self.todo:
            room = self.at_once - len(self.submitted) if self.at_once else ARRAY
            batch = [self.todo.popleft() for _ in range(min(room, ARRAY, len(self.todo)))]
            if not batch:
                return
            try:
                handles = self.executor.map_array(SubmittedJob(), batch)
            except OSError:
                raise  # the disk
            except Exception as error:
                said = " ".join(str(error).split())
                raise UserError(f"no job could be submitted: {said}") from error
            self.submitted += [_Submitted(*pair) for pair in zip(batch, handles, strict=True)]
            self.queue.ask_anew()

    def poll(self) -> list[JobEnd]:
        """Return the jobs that ended since the last call."""
        ends: list[JobEnd] = []
        for one in list(self.submitted):
            end = self._end_of(one)
            if end is None:
                continue
            self.submitted.remove(one)
            if end.elsewhere is not None:
                self.deferred.add(end)
            else:
                ends.append(end)
        ended, again = self.deferred.poll()
        self.todo.extend(again)
        return ends + ended

    def cancel(self) -> None:
        """End all jobs that are under way or wait."""
        self.todo.clear()
        for one in self.submitted:
            one.handle.cancel(check=False)
        until = time.monotonic() + CANCEL_SECONDS
        while not self._outlives_us() and time.monotonic() < until:
            if all(one.handle.done() for one in self.submitted):
                break
            time.sleep(0.1)
        self.submitted.clear()

    def leave(self) -> None:
        """Let go of what is still under way."""
        if not self.submitted:
            return
        if not self._outlives_us():
            self.cancel()
            return
        ids = sorted({one.handle.job_id.split("_")[0] for one in self.submitted})
        log.warning(
            "%d jobs stay with the cluster and go on: 'scancel %s' ends them, '%s' shows them.",
            len(self.submitted),
            " ".join(ids),
            command("status"),
        )

    def _outlives_us(self) -> bool:
        return str(self.executor.cluster) != "local"

    def _end_of(self, one: _Submitted) -> JobEnd | None:
        """Return the end of a job, None while it waits or runs."""
        handle = one.handle
        if _has_result(handle):
            return _result_of(one)
        state = self._state_at_end(handle)
        if state is None:
            one.gone = None
            return None
        one.gone = one.gone or time.monotonic()
        if time.monotonic() - one.gone < RESULT_SECONDS:
            return None
        sentence = (
            f"job {handle.job_id} ended without a result ({state}), its log is "
            f"{handle.paths.stderr}; typing the same command again goes on with it."
        )
        return JobEnd(one.job, "interrupted", f"{one.job.name}: {sentence}", error=sentence)

    def _state_at_end(self, handle: Any) -> str | None:
        # submitit's own handle asks sacct, and complains at each look where there are no accounts.
        if self._outlives_us():
            return self.queue.over(handle.job_id)
        return str(handle.state) if handle.done() else None


def _has_result(handle: Any) -> bool:
    path: Path = handle.paths.result_pickle
    with contextlib.suppress(OSError):
        # Network disks remember what a folder held until something in it changes.
        path.parent.chmod(path.parent.stat().st_mode)
    return path.exists()


def _result_of(one: _Submitted) -> JobEnd:
    try:
        end = one.handle.result()
    except Exception as error:
        # submitit's message is the traceback with a frame of lines around it.
        lines = [line.strip() for line in str(error).splitlines()]
        said = next((line for line in reversed(lines) if _is_error(line)), type(error).__name__)
        sentence = f"{said} (job {one.handle.job_id}, its log is {one.handle.paths.stderr})"
        return JobEnd(one.job, "failed", f"{one.job.name}: {sentence}", error=sentence)
    if not isinstance(end, JobEnd):
        raise TypeError(f"job {one.handle.job_id} gave {end!r}")
    return end


def _is_error(line: str) -> bool:
    """Whether ``line`` is the one of a traceback that names the exception."""
    name = line.partition(":")[0]
    return ":" in line and name.replace(".", "").replace("_", "").isalnum()


def _claimed(planned: PlannedJob) -> JobEnd:
    if planned.config is None or planned.folder is None:
        raise ValueError(f"a running job without a folder: {planned}")
    runs = planned.config.paths.runs
    found = holder(Path(runs), planned.folder)
    process = found.process if found is not None else None
    host = process.host if process is not None else "another one"
    run = ElsewhereRun(runs, str(planned.folder), host)
    log.warning("waiting for %s, at %s", planned.reason, planned.job.name)
    return JobEnd(planned.job, "claimed", "", error=planned.reason, elsewhere=run)
