"""What runs on a node."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hydra_peft.sweeps import one_job
from hydra_peft.sweeps.job import ElsewhereRun, Job, JobEnd
from hydra_peft.sweeps.submitted import SubmittedJob

JOB = Job(("seed=3",), "{}")


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    before = {s: signal.getsignal(s) for s in (signal.SIGUSR1, signal.SIGUSR2)}
    yield
    for signum, handler in before.items():
        signal.signal(signum, handler)


def test_what_is_pickled_is_the_job_and_little_else(make_job: Callable[..., Job]) -> None:
    cloudpickle = pytest.importorskip("cloudpickle")
    job = make_job("seed=1")
    pickled = cloudpickle.dumps((SubmittedJob(), job))
    assert len(pickled) < len(job.config) + 1000
    assert not any(word in pickled for word in (b"hydra._internal", b"omegaconf", b"torch"))
    again, same = cloudpickle.loads(pickled)
    assert isinstance(again, SubmittedJob)
    assert same == job


def test_requeued_is_the_same_job() -> None:
    pytest.importorskip("submitit")
    job = SubmittedJob()
    delayed = job.checkpoint(JOB)
    assert delayed.function is job
    assert delayed.args == (JOB,)


def test_a_job_that_is_not_requeued_is_interrupted_not_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("Job not requeued because: timed-out too many times.")

    def run(_: Job) -> JobEnd:
        try:
            signal.raise_signal(signal.SIGUSR2)
        except Exception as error:
            pytest.fail(f"the run would have failed: {error}")
        raise AssertionError("no signal")

    signal.signal(signal.SIGUSR2, refuse)
    monkeypatch.setattr(one_job, "do_job", run)
    end = SubmittedJob()(JOB)
    assert end.status == "interrupted"
    assert end.error is not None
    assert "timed-out too many times" in end.error
    assert end.line.startswith("seed=3: ")


def test_a_job_that_is_requeued_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def requeue(*_: object) -> None:
        raise SystemExit(144)

    signal.signal(signal.SIGUSR2, requeue)
    monkeypatch.setattr(one_job, "do_job", lambda _: signal.raise_signal(signal.SIGUSR2))
    with pytest.raises(SystemExit, match="144"):
        SubmittedJob()(JOB)


def test_a_full_disk_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(_: Job) -> JobEnd:
        raise OSError(28, "No space left on device", "/runs/x")

    monkeypatch.setattr(one_job, "do_job", run)
    end = SubmittedJob()(JOB)
    assert end.status == "failed"
    assert "the disk is full" in end.line


def test_a_claim_is_waited_for_only_as_long_as_it_may_be_dead(
    make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    from hydra_peft.runs import claims
    from hydra_peft.sweeps import deferred

    monkeypatch.setattr(claims, "PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(deferred, "POLL_SECONDS", 0.01)
    job = make_job()
    runs = Path(json.loads(job.config)["paths"]["runs"])
    folder = runs / "mini/digits/one"
    claimed = JobEnd(
        job, "claimed", "", error="x", elsewhere=ElsewhereRun(str(runs), str(folder), "a")
    )
    done = JobEnd(job, "completed", "done", metric=1.0)
    with claims.claim(runs, folder):
        monkeypatch.setattr(one_job, "do_job", lambda _: claimed)
        assert SubmittedJob()(job).status == "claimed"
    ends = [claimed, done]
    monkeypatch.setattr(one_job, "do_job", lambda _: ends.pop(0))
    assert SubmittedJob()(job) == done
