"""``hydra/launcher=sequential``, ``=local``, ``=packed`` and ``=ray`` as Hydra knows launchers.

Our sweeper hands jobs to ``launch_jobs`` and hears of each end when it happens. Another sweeper,
which would call ``launch``, is refused.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, ClassVar

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from hydra_peft.cli.plugins import plug_in
from hydra_peft.errors import UserError
from hydra_peft.sweeps.job import Job, JobEnd

if TYPE_CHECKING:
    from hydra_peft.config.schema import RunConfig
    from hydra_peft.sweeps.plan import PlannedJob

#: the option of hydra/sweeper that plans jobs
OWN_SWEEPER = "hydra_peft"
#: why no other: it would do without the plan, and see the scores of test sets
OTHER_SWEEPER = (
    "a hydra/sweeper other than hydra_peft neither plans jobs nor skips done ones, and may choose "
    "by scores on the test set: leave hydra/sweeper out (protocol.tune=true "
    "protocol.search=optuna searches on held-out data)."
)


class _JobsLauncher(Launcher):
    """Base of launchers that plan jobs and report their ends."""

    #: whether jobs run on machines whose devices cannot be seen here
    elsewhere: ClassVar[bool] = False

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Take nothing: jobs come composed."""

    def check(self) -> None:
        """Check what can be seen without torch, and whatever the jobs are.

        Raises:
            UserError: a package is missing.
        """

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
        """Number of jobs of these configs that run at a time."""
        return 1

    def launch(
        self,
        job_overrides: Sequence[Sequence[str]],  # noqa: ARG002
        initial_job_idx: int,  # noqa: ARG002
    ) -> Sequence[JobReturn]:
        """Refuse: this is what a sweeper that is not ours calls.

        Raises:
            UserError: always.
        """
        raise UserError(OTHER_SWEEPER)


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
        """Number of slots that the configs ask for.

        Raises:
            UserError: see :func:`hydra_peft.sweeps.slots.slots_for`.
        """
        from hydra_peft.sweeps.slots import slots_of

        return len(slots_of({one.launcher for one in configs}, {one.device for one in configs}))


class PackedLauncher(_JobsLauncher):
    """Several jobs at a time in this process, whose steps are computed together."""

    def launch_jobs(
        self, jobs: Sequence[Job], *, fail_fast: bool = False
    ) -> Generator[JobEnd, None, None]:
        """See :func:`hydra_peft.sweeps.packed.launch_jobs`."""
        from hydra_peft.sweeps import packed

        return packed.launch_jobs(jobs, fail_fast=fail_fast)

    def remarks(self, jobs: Sequence[PlannedJob]) -> list[str]:
        """Return a line for a plan: how many share steps, and which do not, and why."""
        from hydra_peft.packing.reasons import packed_line
        from hydra_peft.sweeps.plan_text import own_words

        named = zip(own_words(jobs), jobs, strict=True)
        started = [(words, one.config) for words, one in named if one.starts and one.config]
        return [packed_line(started)] if started else []


class RayLauncher(_JobsLauncher):
    """The jobs as tasks of a Ray cluster."""

    elsewhere: ClassVar[bool] = True

    def check(self) -> None:
        """Check that Ray is installed."""
        from hydra_peft.sweeps.ray_jobs import ray_package

        ray_package()

    def launch_jobs(
        self, jobs: Sequence[Job], *, fail_fast: bool = False
    ) -> Generator[JobEnd, None, None]:
        """See :func:`hydra_peft.sweeps.ray_jobs.launch_jobs`."""
        from hydra_peft.sweeps import ray_jobs

        return ray_jobs.launch_jobs(jobs, fail_fast=fail_fast)

    def slots(self, configs: Sequence[RunConfig]) -> int:
        """Number of jobs that the cluster has room for.

        Raises:
            UserError: see :func:`hydra_peft.sweeps.ray_jobs.slots_of`.
        """
        from hydra_peft.sweeps.ray_jobs import slots_of

        return slots_of(configs)


def register_launchers() -> None:
    """Make them known to Hydra; a class path in code, since files name nothing that is made."""
    launchers = (
        ("sequential", SequentialLauncher),
        ("local", LocalLauncher),
        ("packed", PackedLauncher),
        ("ray", RayLauncher),
    )
    for name, cls in launchers:
        node = {"_target_": plug_in(cls)}
        ConfigStore.instance().store(group="hydra/launcher", name=name, node=node)
