"""A job ends with a status, a line and, if it fails, one sentence."""

from __future__ import annotations

import errno
import gc
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hydra_peft.config.check import check_recorded
from hydra_peft.config.schema import RunConfig
from hydra_peft.disk_errors import TakesNoMore
from hydra_peft.errors import UserError
from hydra_peft.runs.config_file import read_config
from hydra_peft.runs.ledger import TakenOver
from hydra_peft.runs.outcome import Outcome
from hydra_peft.runs.record import read_record
from hydra_peft.sweeps import one_job
from hydra_peft.sweeps.job import Job
from hydra_peft.sweeps.one_job import do_job

MakeJob = Callable[..., Job]


def test_a_job_is_done_once(make_job: MakeJob, tmp_path: Path) -> None:
    job = make_job("seed=3")
    end = do_job(job)
    assert (end.job, end.status, end.error) == (job, "completed", None)
    (path,) = tmp_path.glob("runs/**/result.json")
    record = read_record(path.parent)
    assert end.metric == record.score
    assert end.line.startswith(f"mini/digits linear seed 3: {end.metric:.2f}% test (last epoch")
    assert end.line.endswith(f"\n    {path.parent}")
    again = do_job(job)
    assert (again.status, again.metric) == ("completed", end.metric)
    assert f"done {record.ended}, skipped" in again.line
    assert len(list(tmp_path.glob("runs/**/result.json"))) == 1


def test_a_run_that_was_taken_over_is_looked_at_again(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, calls = one_job.run_protocol, []

    def held_up(config: RunConfig, _: object) -> Outcome:
        calls.append(config.seed)
        if len(calls) == 1:
            raise TakenOver("it was taken over.")
        return original(config, None)

    monkeypatch.setattr(one_job, "run_protocol", held_up)
    end = do_job(make_job())
    assert (end.status, len(calls)) == ("completed", 2)


def test_a_folder_that_cannot_be_costs_its_own_job_alone(
    make_job: MakeJob, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    job = make_job()
    do_job(job)
    (path,) = tmp_path.glob("runs/**/result.json")
    shutil.rmtree(path.parent)
    path.parent.write_text("a file")
    end = do_job(job)
    assert end.status == "failed"
    assert str(path.parent) in str(end.error)
    assert "Traceback" not in capfd.readouterr().err


def test_the_config_of_the_run_is_resolved(make_job: MakeJob, tmp_path: Path) -> None:
    job = make_job()
    do_job(job)
    (path,) = tmp_path.glob("runs/**/config.yaml")
    assert check_recorded(read_config(path.parent)) == replace(
        job.run_config(), settings=check_recorded(read_config(path.parent)).settings
    )


def test_no_value_of_a_job_is_left_for_the_next(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = []

    def note(config: RunConfig, _: object) -> None:
        done.append(config)
        raise UserError("not done")

    monkeypatch.setattr(one_job, "run_protocol", note)
    words = [
        ["optimizer.lr=0.5", "method=lora", "train.epochs=3"],
        ["seed=4", "train.clip_grad=3"],
        ["optimizer.lr=0.5", "method=lora", "train.epochs=3"],
    ]
    jobs = [make_job(*some) for some in words]
    broken = json.loads(jobs[1].config)
    broken["dataset"]["classes"], broken["train"]["epochs"] = 99, 0
    jobs.insert(2, replace(jobs[1], config=json.dumps(broken)))
    ends = [do_job(job) for job in jobs]
    assert [end.error == "not done" for end in ends] == [True, True, False, True]
    assert done == [job.run_config() for job in (jobs[0], jobs[1], jobs[3])]


def test_mistakes_and_bugs_fail_this_job_only(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    end = do_job(make_job("model.checkpoint=/nowhere/x.npz"))
    assert (end.status, end.metric) == ("failed", None)
    assert end.line == f"model.checkpoint=/nowhere/x.npz: {end.error}"
    assert "/nowhere/x.npz" in str(end.error)
    assert capsys.readouterr().err == ""

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(one_job, "run_protocol", fail)
    end = do_job(make_job())
    assert (end.status, end.error) == ("failed", "ZeroDivisionError")
    assert "Traceback" in capsys.readouterr().err


def test_a_diverged_run_says_so(make_job: MakeJob) -> None:
    end = do_job(make_job("optimizer.lr=1e6", "method=full", "train.batch_size=8"))
    assert (end.status, end.metric) == ("diverged", None)
    assert ": diverged: " in end.line
    assert end.error


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        TakesNoMore(OSError(errno.EFBIG, "File too large", "/c"), "cannot write the cache /c."),
        BrokenPipeError(errno.EPIPE, "Broken pipe"),
        KeyboardInterrupt(),
        SystemExit(3),
    ],
)
def test_what_concerns_later_jobs_too_passes_through(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(one_job, "run_protocol", fail)
    with pytest.raises(type(error)):
        do_job(make_job())


def test_a_config_that_is_not_ours_is_one_sentence(make_job: MakeJob) -> None:
    job = make_job()
    planted = {**json.loads(job.config), "_target_": "os.system"}
    end = do_job(replace(job, config=json.dumps(planted)))
    assert end.status == "failed"
    assert str(end.error).startswith("unknown key '_target_'")


def test_what_a_job_leaves_is_freed(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    class Cyclic:
        pass

    def leave(*_: object) -> None:
        one = Cyclic()
        one.self = one  # type: ignore[attr-defined]
        raise UserError("left")

    monkeypatch.setattr(one_job, "run_protocol", leave)
    gc.disable()
    try:
        for _ in range(3):
            do_job(make_job())
        assert not [x for x in gc.get_objects() if type(x) is Cyclic]
    finally:
        gc.enable()
