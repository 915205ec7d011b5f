"""One job after the other, and those of others at the end."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest

from hydra_peft.runs.claims import Claimed, claim, holder
from hydra_peft.runs.record import Record, read_record, write_record
from hydra_peft.sweeps import deferred, one_job, sequential
from hydra_peft.sweeps.job import Job, JobEnd

MakeJob = Callable[..., Job]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deferred, "POLL_SECONDS", 0.05)


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Jobs of which nobody else holds the folder are done by name alone."""
    names: list[str] = []

    def do(job: Job) -> JobEnd:
        names.append(job.name)
        return JobEnd(job, "completed", job.name, metric=1.0)

    monkeypatch.setattr(one_job, "do_job", do)
    return names


def plain(name: str) -> Job:
    return Job((name,), "{}")


def test_ends_are_given_when_they_happen(done: list[str]) -> None:
    ends = sequential.launch_jobs([plain("a"), plain("b"), plain("c")])
    assert next(ends).job.name == "a"
    assert done == ["a"]
    assert next(ends).job.name == "b"
    ends.close()
    assert done == ["a", "b"]


def held_elsewhere(
    monkeypatch: pytest.MonkeyPatch, job: Job, runs: Path, folder: Path
) -> Callable[[Job], JobEnd]:
    """Let ``job`` ask for its claim as runs do, and do nothing else."""

    def do(asked: Job) -> JobEnd:
        if asked is job:
            try:
                with claim(runs, folder):
                    pass
            except Claimed as error:
                return one_job._claimed(asked, error)
        return JobEnd(asked, "completed", "done here", metric=2.0)

    monkeypatch.setattr(one_job, "do_job", do)
    return do


@pytest.fixture
def record(make_job: MakeJob, tmp_path: Path) -> tuple[Job, Record, Path]:
    """A job, the record of its run, and the run's folder."""
    job = make_job()
    assert one_job.do_job(job).status == "completed"
    (path,) = tmp_path.glob("runs/**/result.json")
    return job, read_record(path.parent), path.parent


def end_elsewhere(folder: Path, runs: Path, last: Record | None) -> Thread:
    """Hold the claim for a moment from another thread, leave a record, and give it back."""
    held = []

    def work() -> None:
        with claim(runs, folder):
            held.append(True)
            time.sleep(0.5)
            if last is not None:
                write_record(last, folder)

    thread = Thread(target=work)
    thread.start()
    while not held:
        time.sleep(0.01)
    return thread


@pytest.mark.parametrize("status", ["completed", "failed", "diverged"])
def test_what_others_end_is_their_end(
    record: tuple[Job, Record, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    job, found, folder = record
    runs = tmp_path / "runs"
    error = None if status == "completed" else "it was too much."
    last = dataclasses.replace(found, status=status, error=error)
    (folder / "result.json").unlink()
    held_elsewhere(monkeypatch, job, runs, folder)
    thread = end_elsewhere(folder, runs, last)
    ends = list(sequential.launch_jobs([job, plain("other")]))
    thread.join()
    assert [end.job.name for end in ends] == ["other", job.name]
    assert (ends[1].status, ends[1].error) == (status, error)
    if status == "completed":
        assert ends[1].metric == found.score
        assert f"done by {os.uname().nodename}" in ends[1].line
    else:
        assert f"{status}: it was too much." in ends[1].line


@pytest.mark.parametrize("left", ["nothing", "interrupted", "the same as before"])
def test_what_others_leave_is_done_here(
    record: tuple[Job, Record, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: str
) -> None:
    job, found, folder = record
    runs = tmp_path / "runs"
    failed = dataclasses.replace(found, status="failed", error="of long ago")
    last = None
    if left == "nothing":
        (folder / "result.json").unlink()
    elif left == "interrupted":
        last = dataclasses.replace(found, status="interrupted")
    else:
        write_record(failed, folder)
    held_elsewhere(monkeypatch, job, runs, folder)
    thread = end_elsewhere(folder, runs, last)
    (end,) = sequential.launch_jobs([job])
    thread.join()
    assert (end.status, end.line) == ("completed", "done here")


def test_a_claim_whose_heart_has_stopped_is_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, folder = plain("a"), tmp_path / "a" / "b"
    held_elsewhere(monkeypatch, job, tmp_path, folder)
    watch = deferred.Watch
    monkeypatch.setattr(deferred, "Watch", lambda *args: watch(*args, patience=0.5))
    script = (
        "import sys, time; from pathlib import Path; from hydra_peft.runs.claims import claim\n"
        "with claim(Path(sys.argv[1]), Path(sys.argv[2]), beat_seconds=1000):\n"
        "    print('held', flush=True); time.sleep(60)"
    )
    root = Path(__file__).resolve().parents[2]
    other = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path), str(folder)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        assert holder(tmp_path, folder) is not None
        (end,) = sequential.launch_jobs([job])
        assert end.line == "done here"
        assert other.poll() is None
    finally:
        other.kill()
        other.communicate()


def test_a_job_of_a_search_goes_on_when_a_candidate_is_done(
    make_job: MakeJob,
    record: tuple[Job, Record, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, found, folder = record
    tuned = make_job("protocol.tune=true")
    held_elsewhere(monkeypatch, tuned, tmp_path / "runs", folder)
    (folder / "result.json").unlink()
    thread = end_elsewhere(folder, tmp_path / "runs", found)
    (end,) = sequential.launch_jobs([tuned])
    thread.join()
    assert end.line == "done here"  # the record is not the job's own


def test_a_job_that_is_claimed_again_at_once_is_not_waited_for_at_full_speed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, runs = plain("a"), tmp_path / "runs"
    order: list[str] = []
    monkeypatch.setattr(time, "sleep", lambda _: order.append("sleep"))

    def do(asked: Job) -> JobEnd:
        order.append("asked")
        if order.count("asked") < 4:
            return one_job._claimed(asked, Claimed(runs, runs / "a", None))
        return JobEnd(asked, "completed", "done here", metric=2.0)

    monkeypatch.setattr(one_job, "do_job", do)
    (end,) = sequential.launch_jobs([job])
    assert end.line == "done here"
    assert order == ["asked", "sleep"] * 3 + ["asked"]
