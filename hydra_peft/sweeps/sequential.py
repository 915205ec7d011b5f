"""``hydra/launcher=sequential``: one job after the other, in this process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hydra_peft.sweeps.job import Job, JobEnd


def launch_jobs(jobs: Sequence[Job]) -> Iterator[JobEnd]:
    """Do ``jobs`` in their order; each end is given when it happens.

    Who stops asking for more has stopped the sweep: nothing goes on behind the caller.

    Raises:
        OSError, KeyboardInterrupt, SystemExit: see :func:`hydra_peft.sweeps.one_job.do_job`.
    """
    from hydra_peft.sweeps.console import log_to_console
    from hydra_peft.sweeps.one_job import do_job

    log_to_console()
    for job in jobs:
        yield do_job(job)
