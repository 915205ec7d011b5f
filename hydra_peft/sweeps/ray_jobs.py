"""``hydra/launcher=ray``: the jobs of a sweep as tasks of a Ray cluster."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections import Counter, deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra_peft.config.schema import LauncherConfig, RunConfig
from hydra_peft.errors import UserError
from hydra_peft.optional import optional_package
from hydra_peft.plain_text import in_one_line, shortened
from hydra_peft.sweeps.console import log_to_console
from hydra_peft.sweeps.crashes import record_crash
from hydra_peft.sweeps.deferred import POLL_SECONDS, Deferred
from hydra_peft.sweeps.job import Job, JobEnd
from hydra_peft.sweeps.slots import one_launcher

log = logging.getLogger("hydra_peft")

#: how often a job is given to another node whose process dies, before it counts as failed
MOST_LOST = 3
#: how long jobs may take to write their checkpoints when they are told to stop
CANCEL_SECONDS = 30.0
_LONGEST = 300


def ray_package() -> Any:
    """Return the package ray.

    Raises:
        UserError: it is not installed.
    """
    return optional_package("ray", extra="ray", use="hydra/launcher=ray needs the package ray")


def connect(config: LauncherConfig) -> Any:
    """Return the package ray, connected to the cluster that ``launcher.address`` names.

    Raises:
        UserError: Ray is not installed, no cluster answers there, or none starts here.
    """
    ray = ray_package()
    if ray.is_initialized():
        return ray
    try:
        ray.init(address=config.address, log_to_driver=False, logging_level="ERROR")
    # Of parts that do not start Ray says so with an Exception that is nothing else.
    except Exception as error:
        if config.address == "local":
            raise UserError(
                f"launcher.address=local: Ray does not start on this machine ({_said(error)}): "
                "look at the limits of this shell (ulimit -a), or type hydra/launcher=local, "
                "which does without Ray."
            ) from None
        raise UserError(
            f"launcher.address={config.address}: no Ray cluster answers ({_said(error)}): begin "
            "one by `ray start --head`, give its address, or launcher.address=local for this "
            "machine alone."
        ) from None
    return ray


def slots_of(configs: Sequence[RunConfig]) -> int:
    """Return how many of the jobs of ``configs`` the cluster has room for at a time.

    Raises:
        UserError: see :func:`connect`; or it has no room for any.
    """
    config = one_launcher({one.launcher for one in configs})
    has = connect(config).cluster_resources()
    asked = _resources(config, {one.device for one in configs})
    room = min(
        int(has.get(name, 0) / share + 1e-9)
        for name, share in (("CPU", asked["num_cpus"]), ("GPU", asked["num_gpus"]))
        if share
    )
    if room < 1:
        raise UserError(
            f"this Ray cluster has {has.get('CPU', 0):g} CPUs and {has.get('GPU', 0):g} GPUs, and "
            f"a job asks for {asked['num_cpus']} and {asked['num_gpus']:g} (launcher.cpus, "
            "launcher.gpu_fraction): none would ever start."
        )
    return room


def launch_jobs(jobs: Sequence[Job], *, fail_fast: bool = False) -> Generator[JobEnd, None, None]:
    """Do ``jobs`` on the cluster and give each end when it happens, in no particular order.

    A job whose node or process dies is given out again, and goes on from its checkpoint. To be
    closed by who stops asking: jobs that are under way are then interrupted.

    Args:
        jobs: all of one sweep.
        fail_fast: stop like that after the first that does not complete.

    Raises:
        UserError: see :func:`connect`.
    """
    log_to_console()
    configs = [job.run_config() for job in jobs]
    config = one_launcher({one.launcher for one in configs})
    ray = connect(config)
    resources = _resources(config, {one.device for one in configs})
    # Ray's own retries would begin before the claim of the dead process is known to be free.
    task = ray.remote(max_retries=0, **resources)(do_on_node)
    tasks = Tasks(ray, task, deque(jobs))
    try:
        for end in tasks.ends():
            yield end
            if fail_fast and end.error is not None:
                return
    finally:
        tasks.cancel()
        ray.shutdown()


def do_on_node(job: Job, folder: str) -> JobEnd:
    """Do ``job`` in a process of Ray's, in the working directory that the sweep was typed in."""
    from hydra_peft.sweeps.submitted import done_on_node

    with contextlib.suppress(OSError):
        os.chdir(folder)  # what its relative paths are below
    return done_on_node(job)


@dataclass
class Tasks:
    """The jobs of a sweep that Ray has, that wait, and that others do.

    Attributes:
        ray: the package, connected.
        task: the remote function, of a job and a working directory.
        todo: jobs that Ray gets next.
    """

    ray: Any
    task: Any
    todo: deque[Job]
    _given: dict[Any, Job] = field(default_factory=dict)
    _deferred: Deferred = field(default_factory=Deferred)
    _lost: Counter[Job] = field(default_factory=Counter)

    def ends(self) -> Generator[JobEnd, None, None]:
        """Give each end when it happens."""
        while self.todo or self._given or self._deferred:
            while self.todo:
                job = self.todo.popleft()
                self._given[self.task.remote(job, os.getcwd())] = job
            # Also where Ray has nothing to do: what others do is looked at no more often.
            waited = {"num_returns": 1, "timeout": POLL_SECONDS}
            for reference in self.ray.wait(list(self._given), **waited)[0] if self._given else []:
                end = self._end_of(reference, self._given.pop(reference))
                if end is not None and end.elsewhere is not None:
                    self._deferred.add(end)
                elif end is not None:
                    yield end
            ended, again = self._looked_at()
            yield from ended
            self.todo.extend(again)

    def cancel(self) -> None:
        """Interrupt the jobs that are under way, and wait a while for their checkpoints."""
        references = list(self._given)
        for reference in references:
            self.ray.cancel(reference)
        if references:
            self.ray.wait(references, num_returns=len(references), timeout=CANCEL_SECONDS)

    def _looked_at(self) -> tuple[list[JobEnd], list[Job]]:
        if not self._deferred:
            return [], []
        if not self._given:
            time.sleep(POLL_SECONDS)
        return self._deferred.poll()

    def _end_of(self, reference: Any, job: Job) -> JobEnd | None:
        """Return the end of ``job``; None where it is given out again."""
        errors = self.ray.exceptions
        try:
            end: JobEnd = self.ray.get(reference)
        except errors.TaskCancelledError:
            return _ended(job, "interrupted", "it was cancelled.")
        except errors.RayTaskError as error:
            return _ended(job, "failed", _said(error.cause))
        except errors.RayError as error:
            return self._after_loss(job, _said(error))
        return end

    def _after_loss(self, job: Job, said: str) -> JobEnd | None:
        self._lost[job] += 1
        if self._lost[job] >= MOST_LOST:
            sentence = f"its process on the Ray cluster died {MOST_LOST} times ({said})."
            record_crash(job, sentence)
            return _ended(job, "failed", sentence)
        log.warning("%s: its process on the Ray cluster died (%s); it goes on", job.name, said)
        self.todo.append(job)
        return None


def _resources(config: LauncherConfig, devices: set[str]) -> dict[str, float]:
    """Return what a task asks Ray for."""
    return {"num_cpus": config.cpus, "num_gpus": config.gpu_fraction if "cuda" in devices else 0}


def _ended(job: Job, status: str, sentence: str) -> JobEnd:
    return JobEnd(job, status, f"{job.name}: {sentence}", error=sentence)


def _said(error: BaseException) -> str:
    """Return the error in a line; Ray's are paragraphs of which the first says what happened."""
    first = next((line for line in str(error).splitlines() if line.strip()), "")
    return shortened(f"{type(error).__name__}: {in_one_line(first)}".rstrip(": "), _LONGEST)
