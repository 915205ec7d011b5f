"""``hydra/launcher=local``: a process for each slot of this machine, one job at a time in each."""

from __future__ import annotations

import sys
from collections.abc import Generator, Sequence

from hydra_peft.checkout import PACKAGE
from hydra_peft.sweeps.console import log_to_console
from hydra_peft.sweeps.crashes import record_crash
from hydra_peft.sweeps.job import Job, JobEnd
from hydra_peft.sweeps.pool import Pool
from hydra_peft.sweeps.slots import slots_for

# Not -m, which looks for modules in the working directory first: that is the user's.
_START = """\
import sys
sys.path[:] = [path for path in sys.path if path]
if sys.argv[1] not in sys.path:
    sys.path.insert(0, sys.argv[1])
from hydra_peft.sweeps.worker import main
sys.exit(main())
"""
COMMAND = (sys.executable, "-c", _START, str(PACKAGE.parent))


def launch_jobs(jobs: Sequence[Job], *, fail_fast: bool = False) -> Generator[JobEnd, None, None]:
    """Do ``jobs`` in the slots that their ``launcher`` section asks for.

    Each end is given when it happens, in no particular order. To be closed by who stops asking
    before the last: jobs that are under way are then interrupted and write their checkpoints.

    Args:
        jobs: all of one sweep.
        fail_fast: stop like that after the first that does not complete; those that had ended by
            then are still given.

    Raises:
        UserError: at once, before anything starts: a GPU that is not there. Later: no worker can
            be started.
        OSError: the disk takes nothing more; no later job can do better.
    """
    from hydra_peft.backbones.backbones import forget_backbones  # here, since it loads torch

    log_to_console()
    forget_backbones()  # the plan took the hash of their weights; workers load their own
    return Pool(jobs, slots_for(jobs), COMMAND, record_crash, fail_fast=fail_fast).ends()
