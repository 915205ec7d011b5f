"""A job of a sweep on the node of a cluster, where submitit runs it."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any

from hydra_peft.disk_errors import disk_sentence
from hydra_peft.sweeps.job import Job, JobEnd

if TYPE_CHECKING:
    from submitit.core.utils import DelayedSubmission


class SubmittedJob:
    """Callable that submitit pickles, with a :class:`Job`, and calls on a node.

    The job is the config that was planned: nothing is composed again, so that what is edited in
    ``conf`` while it waits in the queue changes nothing. :meth:`checkpoint` is what submitit asks
    for when it requeues a job; the run's own checkpoint has been written by then, since
    :mod:`hydra_peft.training.interrupts` hands signals on only at the end of a step.
    """

    def __call__(self, job: Job) -> JobEnd:
        """Do ``job`` and say what became of it.

        Raises:
            SystemExit: submitit has requeued the job.
        """
        from hydra_peft.sweeps.console import log_to_console

        log_to_console()
        _interrupt_where_not_requeued()
        return done_on_node(job)

    def checkpoint(self, job: Job) -> DelayedSubmission:
        """Return the resubmission of a requeued job: the same call, which resumes."""
        from submitit.core.utils import DelayedSubmission

        return DelayedSubmission(self, job)


def done_on_node(job: Job) -> JobEnd:
    """Do ``job`` in a process that a cluster started, and say what became of it.

    Raises:
        SystemExit: the cluster ends the process.
    """
    try:
        return _done(job)
    except KeyboardInterrupt as interrupt:
        reason = f" ({interrupt.__cause__})" if str(interrupt.__cause__ or "") else ""
        sentence = f"{interrupt or 'interrupted.'}{reason}"
        return JobEnd(job, "interrupted", f"{job.name}: {sentence}", error=sentence)
    except OSError as error:
        disk = disk_sentence(error)
        if disk is None:
            raise
        return JobEnd(job, "failed", f"{job.name}: {disk}", error=disk)


def _done(job: Job) -> JobEnd:
    """Do ``job``; where somebody holds its claim, wait for as long as it takes to see one dead.

    That is how a requeued job meets the claim of its own earlier part, if that was killed on
    another node. A claim that lives is left to who submitted the job, where waiting takes no GPU.
    """
    from hydra_peft.runs.claims import PATIENCE_SECONDS
    from hydra_peft.sweeps.deferred import POLL_SECONDS, Deferred
    from hydra_peft.sweeps.one_job import do_job

    end = do_job(job)
    if end.status != "claimed":
        return end
    deferred, until = Deferred(), time.monotonic() + 2 * PATIENCE_SECONDS
    deferred.add(end)
    while time.monotonic() < until:
        ends, again = deferred.poll()
        if ends:
            return ends[0]
        if again:
            return do_job(job)
        time.sleep(POLL_SECONDS)
    return end


def _interrupt_where_not_requeued() -> None:
    """Make a requeueing that fails, or is refused, an interruption of the run and not its failure.

    submitit raises an ordinary exception in its signal handler then, for instance after
    ``max_num_timeout`` timeouts; the run has its checkpoint and can be resumed.
    """
    for signum in (signal.SIGUSR1, signal.SIGUSR2):
        handler = signal.getsignal(signum)
        if callable(handler):
            signal.signal(signum, _interrupting(handler))


def _interrupting(
    handler: Callable[[int, FrameType | None], Any],
) -> Callable[[int, FrameType | None], None]:
    def handle(signum: int, frame: FrameType | None) -> None:
        try:
            handler(signum, frame)
        except Exception as error:
            raise KeyboardInterrupt(str(error)) from error

    return handle
