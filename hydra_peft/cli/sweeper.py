"""Our Hydra sweeper: all jobs are planned first, then those that are not done go to a launcher."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hydra_peft.cli.clusters import (
    check_for_nodes,
    check_one_process,
    check_read,
    executor_of,
    is_submitit,
    typed_words,
)
from hydra_peft.cli.guard import Stopped, complain
from hydra_peft.cli.idle_words import check_acting
from hydra_peft.cli.launchers import OTHER_SWEEPER, OWN_SWEEPER
from hydra_peft.cli.lost_words import check_none_lost
from hydra_peft.cli.plugins import MODULE, plug_in
from hydra_peft.cli.stages import broken, settled, staged, why_left
from hydra_peft.commands import as_started
from hydra_peft.config.composed_values import resolved_section, section_of
from hydra_peft.config.schema import PathsConfig, RunConfig
from hydra_peft.config.typed import typed
from hydra_peft.errors import UserError
from hydra_peft.files import atomic_write
from hydra_peft.plain_text import counted
from hydra_peft.sweeps.job import Job, JobEnd

if TYPE_CHECKING:
    from hydra_peft.sweeps.job import Composition
    from hydra_peft.sweeps.plan import PlannedJob

#: jobs that are composed and checked in more than some seconds
MANY = 200
#: overrides of runs that did not complete; Hydra makes the sweeper itself, hands nothing of a sweep
#: back to who started it, and would not call a user's callbacks at the end of one that raises
unfinished: list[str] = []


class JobFailed(Exception):  # noqa: N818
    """A job that a launcher of Hydra's kind did has not completed; its message has been printed."""


class Sweeps(Sweeper):
    """Composes and checks every job, skips done ones, launches the rest, tells each end.

    Args:
        params: overrides that an experiment sweeps over, as for Hydra's own sweeper.
        beside: mappings of more of them, each laid over ``params`` for jobs beside its own.
        max_batch_size: how many jobs a launcher that is not ours gets at once; of a cluster's:
            how many are with it at a time.
    """

    def __init__(
        self,
        params: DictConfig | None = None,
        max_batch_size: int | None = None,
        beside: ListConfig | None = None,
    ) -> None:
        self.params = params
        self.beside = beside
        self.max_batch_size = max_batch_size
        self.config: DictConfig | None = None
        self.launcher: Launcher | None = None
        self.hydra_context: HydraContext | None = None
        #: jobs that start from runs which others of the sweep do first
        self.waiting: list[Composition] = []
        #: whether no stage is to follow
        self.stopped = False
        #: names of the jobs of earlier stages; None before the first
        self.told: set[str] | None = None

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Take what Hydra gives before a sweep."""
        self.hydra_context, self.config = hydra_context, config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> list[JobEnd]:  # noqa: ARG002
        """Do the sweep; what did not complete is in :data:`unfinished`.

        Raises:
            Stopped: by a mistake in some job, before the first starts, or by what no later job
                can survive.
        """
        try:
            ends = self._sweep()
            while self.waiting and not self.stopped:
                ends += self._sweep()
            return ends
        except Exception as error:
            # Hydra would take a mistake for one in its own command line.
            raise Stopped from error

    def _sweep(self) -> list[JobEnd]:
        planned = self.plan()
        told = self.told or set()
        if self.told is not None and {job.job.name for job in planned} <= told:
            return []  # what waited has been told
        from hydra_peft.sweeps.estimate import job_times  # here, since it loads torch
        from hydra_peft.sweeps.plan_text import first_line

        if self._is_dry([job.config for job in planned]):
            show(planned, self._slots(planned))
            for line in self._remarks(planned):
                print(line)
            for later in self.waiting:
                print(f"{later.job.name}: waits for {later.starts_from}, which it starts from")
            self.waiting = []
            return []
        refuse([job for job in planned if job.state == "broken"], len(planned))
        to_start = [job for job in planned if job.starts]
        elsewhere = is_submitit(self.launcher)
        # Before anything is said or written: it may not be there.
        executor = executor_of(self.launcher) if elsewhere and to_start else None
        slots = None if elsewhere else self._slots(planned)
        times = job_times(planned)
        if to_start:
            self._write_down(planned, times, slots)
        print(first_line(planned, times, slots), flush=True)
        if self.waiting:
            more = counted(len(self.waiting), "more job starts", "more jobs start")
            print(f"{more} from runs that these do, and will come after them", flush=True)
        for job in planned:
            if job.job.name not in told:
                tell_of_past(job)
        self.told = told | {job.job.name for job in planned}
        unknown = None in [t for job, t in zip(planned, times, strict=True) if job.starts]
        return self._launch(planned, executor, slots if unknown else None) if to_start else []

    def plan(self) -> list[PlannedJob]:
        """Decide for each job of the sweep: new, done, resumed, failed.

        Raises:
            UserError: some job cannot work, which is told before torch is loaded if it can be.
        """
        from hydra_peft.cli.composing import compositions, looked_at_first, on_devices
        from hydra_peft.cli.expanding import expand

        assert self.config is not None
        assert self.hydra_context is not None
        self._check_own_settings(self.config)
        loader = self.hydra_context.config_loader
        jobs = expand(self.config, loader)
        if len(jobs) >= MANY:
            print(f"looking at {len(jobs):,} jobs ...", file=sys.stderr)
        found = settled(compositions(self.config, loader, jobs), self.told or ())
        words = typed_words(self.config.hydra.overrides)
        check_acting(words, [one.config for one in found if one.config is not None])
        elsewhere = is_submitit(self.launcher) or getattr(self.launcher, "elsewhere", False)
        if elsewhere:
            check_for_nodes(found)
        dry_run = self._is_dry([one.config for one in found])
        found = looked_at_first(self._of_this_stage(found), elsewhere=elsewhere)
        if not dry_run:
            refuse(broken(found), len(found))
        if is_submitit(self.launcher):
            check_one_process(self.launcher)
        elif (check := getattr(self.launcher, "check", None)) is not None:
            check()
        from hydra_peft.sweeps.plan import plan  # here, since it loads torch

        return plan(on_devices(found), thorough=dry_run, elsewhere=elsewhere)

    def _is_dry(self, jobs: Sequence[RunConfig | None]) -> bool:
        """Whether a job, or the sweep of which none can work, is to be shown alone."""
        assert self.config is not None
        asked = OmegaConf.select(self.config, "sweep.dry_run") is True
        return asked or any(one.sweep.dry_run for one in jobs if one)

    def _of_this_stage(self, found: list[Composition]) -> list[Composition]:
        """Return ``found`` without the jobs that start from runs which others of them do first.

        They are kept for later; those are told whose run did not complete in the stage before.
        """
        ready, self.waiting = staged(found)
        if self.told is not None and {one.job.name for one in ready} <= self.told:
            for one in self.waiting:
                complain(why_left(one))
                unfinished.append(one.job.name)
            self.waiting = []
        return ready

    def _slots(self, planned: Sequence[PlannedJob]) -> int:
        """Number of jobs that run at a time; 1 where only the launcher knows."""
        configs = [job.config for job in planned if job.config and job.starts]
        count = getattr(self.launcher, "slots", None)
        return count(configs) if count is not None and configs else 1

    def _remarks(self, planned: Sequence[PlannedJob]) -> list[str]:
        """Return what the launcher says of a plan."""
        remarks = getattr(self.launcher, "remarks", None)
        return [] if remarks is None else remarks(planned)

    def _check_own_settings(self, config: DictConfig) -> None:
        # Whether -m or a preset makes it a sweep.
        words = typed_words(config.hydra.overrides)
        check_none_lost(words)
        check_read(words, str(config.hydra.runtime.choices["hydra/launcher"]))
        size, folder = self.max_batch_size, _sweep_folder(config)
        if size is not None and (type(size) is not int or size < 1):
            raise UserError(f"hydra.sweeper.max_batch_size={size}: it must be null or at least 1.")
        if "\0" in folder:
            raise UserError(f"hydra.sweep.dir={folder!r} holds a NUL, which no path may.")

    def _write_down(
        self, planned: Sequence[PlannedJob], times: Sequence[float | None], slots: int | None
    ) -> None:
        from hydra_peft.sweeps.announce import announce

        assert self.config is not None
        # First what the command line can have wrong: a sweep that cannot start announces nothing.
        folder = Path(self.config.hydra.sweep.dir)
        folder.mkdir(parents=True, exist_ok=True)
        announce(planned, shlex.join(["python", *sys.argv]), times=times, slots=slots)
        atomic_write(folder / "multirun.yaml", OmegaConf.to_yaml(self.config).encode())

    def _launch(
        self, planned: Sequence[PlannedJob], executor: Any, unknown_in: int | None
    ) -> list[JobEnd]:
        """Do the jobs that are to start.

        Args:
            planned: all jobs.
            executor: see :meth:`_ends`.
            unknown_in: the slots, where nobody could tell yet how long the jobs take.
        """
        from hydra_peft.sweeps.plan_text import next_line

        to_start = [job for job in planned if job.starts]
        left = {id(one.job): one for one in to_start}
        fail_fast = any(job.config.sweep.fail_fast for job in to_start if job.config)
        ends = []
        # Closed whatever happens: jobs that are under way in other processes are then interrupted.
        with closing(self._ends(to_start, executor, fail_fast)) as going_on:
            for end in going_on:
                ends.append(end)
                tell(end)
                left = {key: one for key, one in left.items() if one.job != end.job}
                if unknown_in is None or end.error is not None or not left:
                    continue
                if line := next_line(planned, list(left.values()), unknown_in):
                    print(line, flush=True)
                    unknown_in = None  # said once: status.py says it from then on
        failed = any(end.error is not None for end in ends)
        self.stopped = fail_fast and failed
        if self.stopped and (left_over := len(to_start) - len(ends) + len(self.waiting)):
            are_left = counted(left_over, "job is left", "jobs are left")
            complain(f"stopped at the first failure (sweep.fail_fast=true), {are_left}.")
        return ends

    def _ends(
        self, to_start: Sequence[PlannedJob], executor: Any, fail_fast: bool
    ) -> Generator[JobEnd, None, None]:
        """Let the launcher do the jobs: ours tell each end at once, others that of a batch.

        Args:
            executor: of submitit, where the launcher is one for clusters.
            fail_fast: stop at the first failure; what has ended by then is still given.
        """
        jobs = [planned.job for planned in to_start]
        own = getattr(self.launcher, "launch_jobs", None)
        if own is not None:
            yield from own(jobs, fail_fast=fail_fast)
        elif executor is not None:
            from hydra_peft.sweeps import clusters

            at_once = self.max_batch_size
            with closing(
                clusters.launch_jobs(executor, to_start, at_once=at_once, fail_fast=fail_fast)
            ) as ends:
                for end in ends:
                    yield end
                    if fail_fast and end.error is not None:
                        return
        else:
            for batch in self._ends_of_batches(jobs):
                yield from batch
                if fail_fast and any(end.error is not None for end in batch):
                    return

    def _ends_of_batches(self, jobs: Sequence[Job]) -> Iterator[list[JobEnd]]:
        assert self.launcher is not None
        size = self.max_batch_size or len(jobs)
        for start in range(0, len(jobs), size):
            batch = jobs[start : start + size]
            overrides = [list(job.overrides) for job in batch]
            returns = self.launcher.launch(overrides, initial_job_idx=start)
            yield [_as_end(*pair) for pair in zip(batch, returns, strict=True)]


def _sweep_folder(config: DictConfig) -> str:
    try:
        return str(config.hydra.sweep.dir)
    except OmegaConfBaseException:
        # It is paths.runs unless somebody says otherwise, and of a run by itself that is named.
        typed(PathsConfig, resolved_section(section_of(config, "paths"), "paths"), "paths")
        raise


def _as_end(job: Job, returned: JobReturn) -> JobEnd:
    value = returned._return_value
    if returned.status is JobStatus.COMPLETED:
        # Its line was printed where it was done.
        return JobEnd(job, "completed", "", metric=value)
    line = "" if isinstance(value, JobFailed) else f"{job.name}: {value}"
    return JobEnd(job, "failed", line, error=str(value))


def show(planned: Sequence[PlannedJob], slots: int = 1) -> None:
    """Print the plan; its jobs are done in ``slots`` at a time.

    Raises:
        UserError: some job cannot work.
    """
    from hydra_peft.sweeps.plan_text import plan_text

    print(as_started(plan_text(planned, slots)), flush=True)
    broken = sum(job.state == "broken" for job in planned)
    if broken:
        raise UserError(f"{broken} of {len(planned)} jobs cannot work, so none would start.")


def refuse(broken: Sequence[PlannedJob | Composition], count: int) -> None:
    """Refuse a sweep of ``count`` jobs of which those that are ``broken`` cannot work.

    Raises:
        UserError: there are some; the message has the first one and the number of others, or the
            reason alone that all jobs have.
    """
    if not broken:
        return
    reason, others = str(broken[0].reason), len(broken) - 1
    if len(broken) == count and len({job.reason for job in broken}) == 1:
        raise UserError(reason)
    more = f", and {counted(others, 'other')} that sweep.dry_run=true lists" if others else ""
    raise UserError(f"job '{broken[0].job.name}'{more}: {reason}")


def tell_of_past(job: PlannedJob) -> None:
    """Print what became before of a job that is not started now."""
    from hydra_peft.sweeps.plan_text import done_line

    if job.same_as is not None:
        print(f"{job.job.name}: {job.reason}", flush=True)
    elif job.state == "done" and job.record is not None:
        print(done_line(job.record), flush=True)
    elif job.state == "failed":
        complain(f"{job.job.name}: {job.reason}.")
        unfinished.append(job.job.name)


def tell(end: JobEnd) -> None:
    """Print the end of a job; one that did not complete is remembered."""
    if end.error is None:
        if end.line:
            print(end.line, flush=True)
        return
    if end.line:
        complain(end.line)
    unfinished.append(end.job.name)


def check_sweeper() -> None:
    """Check that a job that a launcher of Hydra's kind does was planned by our sweeper.

    Raises:
        UserError: another one started it.
    """
    if HydraConfig.get().sweeper["_target_"] != f"{MODULE}.{Sweeps.__name__}":
        raise UserError(OTHER_SWEEPER)


def register_sweeper() -> None:
    """Make the sweeper known to Hydra as ``hydra/sweeper=hydra_peft``."""
    # A class path in code, not in a yaml: files name nothing that is instantiated.
    ConfigStore.instance().store(
        group="hydra/sweeper",
        name=OWN_SWEEPER,
        node={"_target_": plug_in(Sweeps), "params": {}, "max_batch_size": None, "beside": []},
    )
