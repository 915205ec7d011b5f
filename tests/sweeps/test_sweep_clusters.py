"""What is submitted, watched and told of jobs of a cluster; the cluster itself is made up."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

from hydra_peft.errors import UserError
from hydra_peft.runs.claims import claim
from hydra_peft.sweeps import clusters
from hydra_peft.sweeps.job import ElsewhereRun, Job, JobEnd
from hydra_peft.sweeps.plan import PlannedJob
from hydra_peft.sweeps.slurm_queue import SlurmQueue
from hydra_peft.sweeps.submitted import SubmittedJob


@dataclass
class Handle:
    """submitit's handle of a job; ``outcome`` None: it ends without a result."""

    job: Job
    folder: Path
    job_id: str
    outcome: JobEnd | Exception | None
    looks: int = 2
    cluster: str = "slurm"
    cancelled: bool = False

    @property
    def state(self) -> str:
        assert self.cluster == "local", "submitit would ask sacct"
        return "CANCELLED"

    @property
    def paths(self) -> SimpleNamespace:
        result = self.folder / f"{self.job_id}.pkl"
        return SimpleNamespace(result_pickle=result, stderr=self.folder / f"{self.job_id}.err")

    def done(self) -> bool:
        assert self.cluster == "local", "submitit would ask sacct"
        return self.look()

    def look(self) -> bool:
        self.looks -= 1
        if self.looks == 0 and self.outcome is not None:
            self.paths.result_pickle.touch()
        return self.looks <= 0

    def result(self) -> JobEnd:
        if isinstance(self.outcome, Exception):
            raise self.outcome
        assert self.outcome is not None
        return self.outcome

    def cancel(self, check: bool) -> None:
        assert not check
        self.cancelled = True


@dataclass
class Executor:
    """Takes jobs and lets them end as ``outcome`` says."""

    folder: Path
    outcome: Callable[[Job], JobEnd | Exception | None]
    cluster: str = "slurm"
    looks: int = 2
    batches: list[int] = field(default_factory=list)
    handles: list[Handle] = field(default_factory=list)

    def map_array(self, function: SubmittedJob, jobs: list[Job]) -> list[Handle]:
        assert isinstance(function, SubmittedJob)
        number = len(self.batches)
        self.batches.append(len(jobs))
        new = [
            Handle(
                *(job, self.folder, f"{number}_{place}", self.outcome(job)),
                *(self.looks, self.cluster),
            )
            for place, job in enumerate(jobs)
        ]
        QUEUE.update({handle.job_id: handle for handle in new})
        self.handles += new
        return new


#: the jobs that SLURM's queue knows
QUEUE: dict[str, Handle] = {}


def over(_: SlurmQueue, job_id: str) -> str | None:
    return "CANCELLED" if QUEUE[job_id].look() else None


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SlurmQueue, "over", over)
    monkeypatch.setattr(clusters, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(clusters, "RESULT_SECONDS", 0.05)
    monkeypatch.setattr(clusters, "CANCEL_SECONDS", 0.05)


def planned(count: int) -> list[PlannedJob]:
    return [PlannedJob(Job((f"seed={n}",), "{}"), None, None, "new") for n in range(count)]


def completed(job: Job) -> JobEnd:
    return JobEnd(job, "completed", f"{job.name} is done", metric=1.0)


@pytest.mark.parametrize("cluster", ["slurm", "local"])
def test_each_way_to_end_costs_its_own_job_only(tmp_path: Path, cluster: str) -> None:
    trace = (
        'Job (task=0) failed with trace:\n---\n  File "x"\nRuntimeError: no GPU: 0\n---\nYou can'
    )
    outcomes = {"seed=0": RuntimeError(trace), "seed=1": None}

    def outcome(job: Job) -> JobEnd | Exception | None:
        return outcomes.get(job.name, completed(job))

    executor = Executor(tmp_path, outcome, cluster)
    ends = {end.job.name: end for end in clusters.launch_jobs(executor, planned(3))}
    assert {name: end.status for name, end in ends.items()} == {
        "seed=0": "failed",
        "seed=1": "interrupted",
        "seed=2": "completed",
    }
    assert "seed=0: RuntimeError: no GPU: 0 (job 0_0, its log is " in ends["seed=0"].line
    assert "seed=1: job 0_1 ended without a result (CANCELLED)" in ends["seed=1"].line
    assert ends["seed=2"].line == "seed=2 is done"


def test_arrays_are_no_larger_than_slurm_takes(tmp_path: Path) -> None:
    executor = Executor(tmp_path, completed)
    assert len(list(clusters.launch_jobs(executor, planned(2500)))) == 2500
    assert executor.batches == [1000, 1000, 500]


def test_no_more_jobs_than_asked_for_are_with_the_cluster_at_a_time(tmp_path: Path) -> None:
    executor = Executor(tmp_path, completed)
    most = 0
    for _ in clusters.launch_jobs(executor, planned(5), at_once=2):
        most = max(most, sum(handle.looks > 0 for handle in executor.handles))
    assert most <= 2
    assert max(executor.batches) == 2
    assert sum(executor.batches) == 5


def only_the_first_ends(executor: Executor, outcome: JobEnd | Exception | None = None) -> None:
    """Let the first job of ``executor`` end, as ``outcome`` says, and the others go on for ever."""
    plain = executor.map_array

    def submit(function: SubmittedJob, jobs: list[Job]) -> list[Handle]:
        handles = plain(function, jobs)
        for handle in handles[1:]:
            handle.looks = 10**9
        handles[0].outcome = outcome or handles[0].outcome
        return handles

    executor.map_array = submit  # type: ignore[method-assign]


def test_fail_fast_cancels_the_others(tmp_path: Path) -> None:
    executor = Executor(tmp_path, completed)
    only_the_first_ends(executor, RuntimeError("ValueError: no"))
    going_on = clusters.launch_jobs(executor, planned(3), fail_fast=True)
    assert next(going_on).status == "failed"
    assert [handle.cancelled for handle in executor.handles] == [False, True, True]
    assert list(going_on) == []


@pytest.mark.parametrize("cluster", ["slurm", "local"])
def test_who_stops_asking_leaves_slurm_its_jobs_and_ends_those_of_this_machine(
    tmp_path: Path, cluster: str, caplog: pytest.LogCaptureFixture
) -> None:
    executor = Executor(tmp_path, completed, cluster)
    only_the_first_ends(executor)
    going_on = clusters.launch_jobs(executor, planned(3))
    log = logging.getLogger("hydra_peft")
    log.addHandler(caplog.handler)
    try:
        next(going_on)
        going_on.close()
    finally:
        log.removeHandler(caplog.handler)
    here = cluster == "local"
    assert [handle.cancelled for handle in executor.handles] == [False, here, here]
    assert ("2 jobs stay with the cluster" in caplog.text) == (not here)


def test_what_the_cluster_does_not_take_is_a_mistake(tmp_path: Path) -> None:
    executor = Executor(tmp_path, completed)

    def refuse(*_: object) -> list[Handle]:
        raise RuntimeError("sbatch: error: invalid partition\nspecified: x")

    executor.map_array = refuse  # type: ignore[method-assign]
    with pytest.raises(UserError, match="submitted: sbatch: error: invalid partition specified: x"):
        next(clusters.launch_jobs(executor, planned(1)))


def test_what_somebody_does_is_waited_for_and_then_submitted(
    tmp_path: Path, make_job: Callable[..., Job]
) -> None:
    job = make_job()
    config = job.run_config()
    runs = Path(config.paths.runs)
    folder = runs / "mini/digits/one"
    running = PlannedJob(job, config, folder, "running", "somebody")
    other = planned(1)[0]
    executor = Executor(tmp_path, completed)
    with claim(runs, folder):
        going_on = clusters.launch_jobs(executor, [running, other])
        assert next(going_on).job == other.job
        assert executor.batches == [1]
    assert next(going_on).job == job
    assert executor.batches == [1, 1]


def test_a_job_that_finds_itself_claimed_is_submitted_again(
    tmp_path: Path, make_job: Callable[..., Job]
) -> None:
    job = make_job()
    run = ElsewhereRun(str(tmp_path / "runs"), str(tmp_path / "runs/mini/digits/one"), "node7")
    ends = [JobEnd(job, "claimed", "", error="claimed", elsewhere=run), completed(job)]
    executor = Executor(tmp_path, lambda _: ends.pop(0))
    (end,) = clusters.launch_jobs(executor, [PlannedJob(job, None, None, "new")])
    assert end.status == "completed"
    assert executor.batches == [1, 1]
