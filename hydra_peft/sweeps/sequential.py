"""``hydra/launcher=sequential``: one job after the other, in this process."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Sequence

from hydra_peft.sweeps.job import Job, JobEnd


def launch_jobs(jobs: Sequence[Job]) -> Generator[JobEnd, None, None]:
    """Do ``jobs`` in their order; each end is given when it happens.

    A job that somebody else is doing is waited for when the others are through, and done here if
    its claim is given back or dies. Who stops asking for more has stopped the sweep: nothing goes
    on behind the caller.

    Raises:
        OSError, KeyboardInterrupt, SystemExit: see :func:`hydra_peft.sweeps.one_job.do_job`.
    """
    from hydra_peft.sweeps import one_job  # here, since it loads torch
    from hydra_peft.sweeps.console import log_to_console
    from hydra_peft.sweeps.deferred import POLL_SECONDS, Deferred

    log_to_console()
    todo, deferred = deque(jobs), Deferred()
    while todo or deferred:
        if not todo:
            # Before each look: a job may be given back every time, and be claimed again.
            time.sleep(POLL_SECONDS)
            ends, again = deferred.poll()
            yield from ends
            todo.extend(again)
            continue
        end = one_job.do_job(todo.popleft())
        if end.status == "claimed":
            deferred.add(end)
        else:
            yield end
