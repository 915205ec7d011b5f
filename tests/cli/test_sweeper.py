"""Sweeps as a user types them: twice, with a dry run, with jobs that fail."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from hydra_peft.runs.record import read_record, write_record
from hydra_peft.sweeps.job import Job, JobEnd
from hydra_peft.sweeps.status import Survey

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def short(short: Sequence[str]) -> list[str]:
    return [*short, "method=linear"]


def folders(tmp_path: Path) -> list[Path]:
    return sorted(path.parent for path in tmp_path.glob("runs/mini/**/result.json"))


def test_the_same_command_twice_does_nothing_new(cli: Cli, tmp_path: Path) -> None:
    code, _, _ = cli("-m", "seed=0,1")
    assert code == 0
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("runs/**/*")}
    code, out, err = cli("-m", "seed=0,1")
    assert (code, err) == (0, "")
    first, *lines = out.splitlines()
    assert first == "2 jobs, 2 done, 0 to run"
    assert len(lines) == 2
    for line, folder in zip(lines, folders(tmp_path), strict=True):
        record = read_record(folder)
        assert line.startswith(f"{record.config_id} mini/digits linear seed {record.seed}: ")
        assert f"{record.score:.2f}%" in line
        assert line.endswith(f"done {record.ended}, skipped")
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("runs/**/*")} == before


def test_a_search_that_chose_another_rank_is_found_again(cli: Cli, tmp_path: Path) -> None:
    """The label in a folder's name says what was chosen, which no plan knows."""
    words = ["-m", "method=lora", "seed=0,1", "protocol.tune=true", "protocol.grid.method.rank=[8]"]
    assert cli(*words)[0] == 0
    runs = tmp_path / "runs"
    assert {folder.name.partition("-seed")[0] for folder in folders(tmp_path)} == {"lora-r=8"}
    assert [run.state for run in Survey(runs).look().runs if not run.searching] == ["done"] * 2
    assert "2 jobs: 2 done" in cli(*words, "sweep.dry_run=true")[1]
    assert "2 jobs, 2 done, 0 to run" in cli(*words)[1]
    assert Survey(runs).look().sweeps == []

    shutil.rmtree(runs / "tuning")  # what is done needs no search
    assert "2 jobs, 2 done, 0 to run" in cli(*words)[1]
    assert cli(*words[:2], "seed=0", *words[3:])[0] == 0
    assert not (runs / "tuning").exists()


def test_a_run_by_another_choice_of_its_search_is_replaced(cli: Cli, tmp_path: Path) -> None:
    words = ["method=lora", "seed=0", "protocol.tune=true", "protocol.grid.method.rank=[8]"]
    assert cli(*words)[0] == 0
    (folder,) = folders(tmp_path)
    older = folder.with_name(folder.name.replace("r=8", "r=2"))
    shutil.copytree(folder, older)
    record = read_record(older)
    write_record(dataclasses.replace(record, started="2020-01-01T00:00:00+00:00"), older)
    linked = folder.with_name(folder.name.replace("r=8", "r=1"))
    linked.symlink_to(older)
    out = cli("-m", *words, "sweep.dry_run=true")[1]
    assert folder.name in out
    assert "1 job: 1 done" in out

    linked.unlink()
    shutil.rmtree(folder)
    assert "1 job: 1 done" in cli("-m", *words, "sweep.dry_run=true")[1]
    assert cli(*words, "sweep.on_existing=rerun")[0] == 0
    assert folder.is_dir()
    assert not older.exists()
    assert older.with_name(f"{older.name}.superseded-1").is_dir()


def test_a_sweep_announces_its_jobs(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "other").write_text("somebody's")
    (tmp_path / "runs" / "multirun.yaml").symlink_to(tmp_path / "other")
    _, out, _ = cli("-m", "seed=0,1")
    assert out.startswith("2 jobs, 0 done, 2 to run, time unknown\n")
    assert re.search(r"^2 jobs, 1 done, 1 left, about \d+ s$", out, re.MULTILINE)
    (path,) = tmp_path.glob("runs/.sweeps/*.json")
    announced = json.loads(path.read_text())
    assert announced["slots"] == 1
    assert announced["schema"] == 1
    assert "seed=0,1" in announced["command"]
    done = [str(folder.relative_to(tmp_path / "runs")) for folder in folders(tmp_path)]
    assert [job["folder"] for job in announced["jobs"]] == done
    assert "seed=1" in announced["jobs"][1]["overrides"]
    assert "optimizer:" in (tmp_path / "runs" / "multirun.yaml").read_text()
    assert (tmp_path / "other").read_text() == "somebody's"


@pytest.mark.parametrize("many", [True, False])
def test_a_dry_run_creates_nothing(cli: Cli, tmp_path: Path, many: bool) -> None:
    words = ["-m", "seed=0,1"] if many else ["seed=0"]
    code, out, err = cli(*words, "sweep.dry_run=true")
    assert (code, err) == (0, "")
    assert not (tmp_path / "runs").exists()
    assert not (tmp_path / "cache").exists()
    count = 2 if many else 1
    assert f"{count} job{'s' if many else ''}: {count} new" in out
    assert "estimated time: unknown" in out
    assert out.count("mini/digits/linear-seed") == count


@pytest.mark.parametrize(
    "asked", [["-m"], ["hydra.mode=MULTIRUN"], ["+experiment=mini", "dataset=mini/digits"]]
)
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["method=lora", "method=hydra"], "method is given twice, as 'method=lora' and as 'method"),
        (["seed=0", "seed=1", "seed=2"], "out, or type seed=0,1,2 for a run with each.\n"),
        (["paths.runs=a", "paths.runs=b"], "and as 'paths.runs=b': leave one of them out.\n"),
        (["paths.runs=null"], "error: paths.runs=null is not allowed: it must be a text.\n"),
        (["paths.runs=[a]"], "error: paths.runs=['a'] is not allowed: it must be a text.\n"),
        (["~paths.runs"], "error: paths.runs has no value: it must be set here, as paths.runs="),
    ],
)
def test_a_mistake_is_the_same_whatever_makes_it_a_sweep(
    cli: Cli, tmp_path: Path, asked: list[str], words: list[str], message: str
) -> None:
    code, out, err = cli(*asked, *words, "sweep.dry_run=true")
    assert (code, out) == (2, "")
    assert message in err
    assert not list(tmp_path.iterdir())


def test_of_a_run_the_last_value_counts_and_that_is_said(cli: Cli) -> None:
    """Scripts add words to those that they are given."""
    code, out, err = cli("method=lora", "method=hydra", "sweep.dry_run=true")
    assert code == 0
    assert "note: method is given twice, as 'method=lora' and as 'method=hydra': the last" in err
    assert "hydra" in out


def test_a_sweep_of_many_jobs_says_what_it_does_first(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hydra_peft.cli.sweeper.MANY", 3)
    assert cli("-m", "seed=0,1,2", "sweep.dry_run=true")[2] == "looking at 3 jobs ...\n"


def test_a_dry_run_tells_what_is_done_and_how_long_the_rest_takes(cli: Cli, tmp_path: Path) -> None:
    cli("seed=0")
    (folder,) = folders(tmp_path)
    write_record(dataclasses.replace(read_record(folder), times={"total": 42.0}), folder)
    code, out, _ = cli("-m", "seed=0,1,2", "sweep.dry_run=true")
    assert code == 0
    assert "3 jobs: 2 new, 1 done" in out
    assert "estimated time: 84 s one after the other" in out
    local = ("-m", "seed=0,1,2,3", "sweep.dry_run=true", "hydra/launcher=local")
    assert "estimated time: 84 s in 2 slots" in cli(*local, "launcher.cpu_slots=2")[1]
    assert "estimated time: 42 s in 3 slots" in cli(*local, "launcher.cpu_slots=8")[1]
    assert "estimated time: 2 min one after the other" in cli(*local, "launcher.cpu_slots=1")[1]
    assert len(folders(tmp_path)) == 1


def test_a_dry_run_lists_every_job_that_cannot_work(cli: Cli, tmp_path: Path) -> None:
    words = ("-m", "optimizer.lr=0.1,nan,-1,inf")
    code, out, err = cli(*words, "sweep.dry_run=true")
    assert code == 2
    assert err == "error: 3 of 4 jobs cannot work, so none would start.\n"
    assert out.count("cannot work") == 4  # the sum too
    assert "optimizer.lr=-1.0 is not allowed" in out
    code, out, err = cli("-m", "optimizer.lr=nan,-1", "sweep.dry_run=true")  # and none can
    assert (code, out.count("cannot work")) == (2, 3)
    assert err == "error: 2 of 2 jobs cannot work, so none would start.\n"
    code, out, err = cli(*words)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert "optimizer.lr=nan', and 2 others that sweep.dry_run=true lists: optimizer.lr=nan" in err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("optimizer.lr=nan", "optimizer.lr=nan is not allowed"),
        ("optimizer.weight_decay=inf", "optimizer.weight_decay=inf is not allowed"),
        ("seed=-1", "seed=-1 is not allowed"),
        ("sweep.retry=some", "sweep.retry=some is not allowed"),
        ("sweep.rety=all", "unknown key 'sweep.rety'"),
        ("sweep.dry_run=perhaps", "sweep.dry_run"),
    ],
)
@pytest.mark.parametrize("many", [True, False])
def test_mistakes_end_in_one_sentence(
    cli: Cli, tmp_path: Path, word: str, message: str, many: bool
) -> None:
    code, out, err = cli(*(["-m", "train.clip_grad=1,2"] if many else []), word)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("many", [True, False])
def test_failed_runs_are_started_again_only_if_asked(cli: Cli, tmp_path: Path, many: bool) -> None:
    words = ["-m", "seed=0,1"] if many else ["seed=0"]
    cli(*words)
    folder = folders(tmp_path)[0]
    done = read_record(folder)
    write_record(dataclasses.replace(done, status="failed", error="it burnt."), folder)
    code, out, err = cli(*words)
    assert code == 1
    assert "it failed (it burnt); sweep.retry=failed starts it again" in err
    assert "1 of the runs did not complete" in err
    assert out.count("skipped") == (1 if many else 0)
    assert read_record(folder).status == "failed"
    code, _, _ = cli(*words, "sweep.retry=failed")
    assert code == 0
    assert read_record(folder).status == "completed"


def test_fail_fast_leaves_the_rest(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    from hydra_peft.runs import task_splits

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the disk made a noise")

    monkeypatch.setattr(task_splits, "load_data", fail)
    code, _, err = cli("-m", "seed=0,1,2", "sweep.fail_fast=true")
    assert code == 1
    assert err.count("error: ") == 3
    assert "2 jobs are left" in err
    code, _, err = cli("-m", "seed=3,4,5")
    assert code == 1
    assert "3 of the runs did not complete" in err


def test_fail_fast_tells_what_ended_together_with_the_failure(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hydra_peft.sweeps import local

    def launch_jobs(jobs: Sequence[Job], *, fail_fast: bool) -> Iterator[JobEnd]:
        assert fail_fast
        yield JobEnd(jobs[1], "failed", "one failed", error="failed")
        yield JobEnd(jobs[0], "completed", "one completed", metric=1.0)

    monkeypatch.setattr(local, "launch_jobs", launch_jobs)
    sweep = ("-m", "seed=0,1,2,3", "sweep.fail_fast=true", "hydra/launcher=local")
    code, out, err = cli(*sweep)
    assert (code, out.splitlines()[1:]) == (1, ["one completed"])
    assert "error: one failed\n" in err
    assert "2 jobs are left" in err


def test_fail_fast_counts_the_whole_batch_of_another_launcher(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hydra_peft.runs import task_splits

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the disk made a noise")

    monkeypatch.setattr(task_splits, "load_data", fail)
    sweep = ("-m", "seed=0,1,2,3,4", "sweep.fail_fast=true", "hydra/launcher=basic")
    code, _, err = cli(*sweep, "hydra.sweeper.max_batch_size=2")
    assert code == 1
    assert "3 jobs are left" in err


def test_a_full_disk_stops_the_sweep(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    from hydra_peft.sweeps import one_job

    calls: list[int] = []

    def full(*_: object) -> None:
        calls.append(1)
        raise OSError(errno.ENOSPC, "No space left on device", "/x")

    monkeypatch.setattr(one_job, "run_protocol", full)
    code, _, err = cli("-m", "seed=0,1,2")
    assert (code, len(calls)) == (2, 1)
    assert err.startswith("error: cannot write at /x: the disk is full")


def test_hydras_own_launcher_works_too(cli: Cli, tmp_path: Path) -> None:
    code, out, _ = cli("-m", "seed=0,1", "hydra/launcher=basic")
    assert code == 0
    assert out.count("test (last epoch") == 2
    code, out, _ = cli("-m", "seed=0,1,2", "hydra/launcher=basic")
    assert code == 0
    assert out.count("skipped") == 2
    assert len(folders(tmp_path)) == 3


def test_the_same_run_twice_in_a_sweep_is_done_once(cli: Cli, tmp_path: Path) -> None:
    words = ["-m", "train.compile=false,auto"]
    code, out, _ = cli(*words, "sweep.dry_run=true")
    assert code == 0
    assert "2 jobs: 1 new, 1 the same as another" in out
    code, out, _ = cli(*words)
    assert code == 0
    assert "the same run as job 1" in out
    assert len(folders(tmp_path)) == 1
    (announced,) = tmp_path.glob("runs/.sweeps/*.json")
    assert len(json.loads(announced.read_text())["jobs"]) == 1
    assert "2 jobs: 1 done, 1 the same as another" in cli(*words, "sweep.dry_run=true")[1]
    assert cli(*words)[1].count("skipped") == 1
