"""``hydra/launcher=sequential`` and ``=local`` as Hydra knows launchers.

Our sweeper hands jobs to ``launch_jobs`` and hears of each end when it happens. A sweeper of
somebody else calls ``launch``, which gives it what Hydra's own launcher would.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus, filter_overrides
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from hydra_peft.cli.guard import complain
from hydra_peft.cli.plugins import plug_in
from hydra_peft.errors import UserError
from hydra_peft.sweeps.job import Job, JobEnd

if TYPE_CHECKING:
    from hydra_peft.config.schema import RunConfig


class _JobsLauncher(Launcher):
    """What both have in common."""

    def setup(
        self,
        *,
        hydra_context: HydraContext,
        task_function: TaskFunction,  # noqa: ARG002
        config: DictConfig,
    ) -> None:
        self._context = hydra_context
        self._config = config

    def launch_jobs(
        self, jobs: Sequence[Job], *, fail_fast: bool = False
    ) -> Generator[JobEnd, None, None]:
        """Do ``jobs`` and give each end when it happens; to be closed by who stops asking.

        Args:
            jobs: all of one sweep.
            fail_fast: start no more after the first that does not complete.
        """
        raise NotImplementedError

    def slots(self, configs: Sequence[RunConfig]) -> int:  # noqa: ARG002
        """Return how many jobs of these configs are done at a time."""
        return 1

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Do a batch of a sweeper that is not ours; the result of a job is its accuracy."""
        jobs = [self._composed(overrides) for overrides in job_overrides]
        ends: dict[int, JobEnd] = {}
        numbers = {id(job): number for number, job in enumerate(jobs)}
        with closing(self.launch_jobs(jobs)) as launched:
            for end in launched:
                ends[numbers[id(end.job)]] = end
                _show(end)
        return [
            _as_return(ends[number], initial_job_idx + number, list(job_overrides[number]))
            for number in range(len(jobs))
        ]

    def _composed(self, overrides: Sequence[str]) -> Job:
        config = self._context.config_loader.load_sweep_config(self._config, list(overrides))
        job = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
        text = json.dumps(OmegaConf.to_container(job, resolve=False))
        return Job(tuple(filter_overrides(overrides)), text)


class SequentialLauncher(_JobsLauncher):
    """One job after the other, in this process."""

    def launch_jobs(
        self, jobs: Sequence[Job], *, fail_fast: bool = False
    ) -> Generator[JobEnd, None, None]:
        """See :func:`hydra_peft.sweeps.sequential.launch_jobs`."""
        from hydra_peft.sweeps import sequential

        with closing(sequential.launch_jobs(jobs)) as ends:
            for end in ends:
                yield end
                if fail_fast and end.error is not None:
                    return


class LocalLauncher(_JobsLauncher):
    """A process for each slot of this machine, one job at a time in each."""

    def launch_jobs(
        self, jobs: Sequence[Job], *, fail_fast: bool = False
    ) -> Generator[JobEnd, None, None]:
        """See :func:`hydra_peft.sweeps.local.launch_jobs`."""
        from hydra_peft.sweeps import local

        return local.launch_jobs(jobs, fail_fast=fail_fast)

    def slots(self, configs: Sequence[RunConfig]) -> int:
        """Return how many slots they ask for.

        Raises:
            UserError: see :func:`hydra_peft.sweeps.slots.slots_for`.
        """
        from hydra_peft.sweeps.slots import slots_of

        return len(slots_of({one.launcher for one in configs}, {one.device for one in configs}))


def register_launchers() -> None:
    """Make both known to Hydra; a class path in code, since files name nothing that is made."""
    for name, cls in (("sequential", SequentialLauncher), ("local", LocalLauncher)):
        node = {"_target_": plug_in(cls)}
        ConfigStore.instance().store(group="hydra/launcher", name=name, node=node)


def _show(end: JobEnd) -> None:
    if end.status == "completed":
        print(end.line, flush=True)
    else:
        complain(end.line)


def _as_return(end: JobEnd, number: int, overrides: Sequence[str]) -> JobReturn:
    result = JobReturn(overrides=overrides, task_name=str(number))
    completed = end.status == "completed"
    result.status = JobStatus.COMPLETED if completed else JobStatus.FAILED
    result.return_value = end.metric if completed else UserError(f"{end.job.name}: {end.error}")
    return result
