"""The folders of one tuned run, whose label says what its search chose: which one counts, what a
rerun goes on with, and what is told before a search."""

from __future__ import annotations

import dataclasses
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hydra_peft.config.grid import Choice
from hydra_peft.config.schema import RunConfig
from hydra_peft.runs import tuning as tuning_module
from hydra_peft.runs.claims import claim
from hydra_peft.runs.collection import collect
from hydra_peft.runs.outcome import Outcome
from hydra_peft.runs.record import read_record, write_record
from hydra_peft.runs.writer import RunWriter
from hydra_peft.sweeps.status import Snapshot, Survey

Cli = Callable[..., tuple[int, str, str]]
TUNE = ("method=lora", "seed=0", "protocol.tune=true", "protocol.grid={method.rank:[2,8]}")
RERUN = (*TUNE, "sweep.on_existing=rerun")
LONG_AGO = "2020-01-01T00:00:00+00:00"


@pytest.fixture
def choose(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let searches choose a rank."""

    def chosen(rank: int) -> None:
        def best(_config: RunConfig, tried: list[tuple[Choice, Outcome]]) -> Choice:
            (found,) = (one for one, _ in tried if one.values["method.rank"] == rank)
            return found

        def described(*given: Any) -> dict[str, Any]:
            """As if it had the best score."""
            found = describe(*given)
            for one in found["candidates"]:
                one["score"] = 50.0 if one["method.rank"] == rank else 40.0
            return found

        monkeypatch.setattr(tuning_module, "_first_best", best)
        monkeypatch.setattr(tuning_module, "_describe", described)

    describe = tuning_module._describe
    return chosen


@pytest.fixture
def done(cli: Cli, tmp_path: Path, choose: Callable[[int], None]) -> Path:
    """The folder of a tuned run that chose another rank than the default one."""
    choose(2)
    assert cli(*TUNE)[0] == 0
    (folder,) = (tmp_path / "runs/mini/digits").iterdir()
    assert folder.name.startswith("lora-r=2-seed0-")
    return folder


def beside(folder: Path, rank: int = 8, **changes: Any) -> Path:
    """Copy a run as another choice would have it."""
    other = folder.with_name(folder.name.replace("r=2", f"r={rank}"))
    shutil.copytree(folder, other)
    write_record(dataclasses.replace(read_record(folder), **changes), other)
    return other


def age(*folders: Path) -> None:
    """Let runs have been done long ago: records know whole seconds."""
    for folder in folders:
        record = dataclasses.replace(read_record(folder), started=LONG_AGO, ended=LONG_AGO)
        write_record(record, folder)


def look(tmp_path: Path) -> Snapshot:
    return Survey(tmp_path / "runs").look()


def states(snapshot: Snapshot) -> dict[str, str]:
    return {Path(run.folder).name: run.state for run in snapshot.runs if not run.searching}


@pytest.mark.parametrize("rank", [4, 8])
def test_a_folder_of_another_choice_is_left_over(
    cli: Cli, done: Path, tmp_path: Path, rank: int
) -> None:
    """Be it the one that a sweep announces, of the default rank 4."""
    left = beside(done, rank, status="interrupted", started="2100-01-01T00:00:00+00:00")
    assert "1 job, 1 done, 0 to run" in cli("-m", *TUNE)[1]
    snapshot = look(tmp_path)
    assert states(snapshot) == {done.name: "done"}
    assert snapshot.sweeps == []
    (warning,) = snapshot.warnings
    said = f"mini/digits/{left.name} did not complete and is left over beside mini/digits/"
    assert warning.startswith(f"{said}{done.name}, the same run")
    collection = collect(tmp_path / "runs")
    assert [run.folder for run in collection.completed] == [done]
    assert not collection.others
    assert any(f"{left.name} did not complete" in sentence for sentence in collection.reading)

    with claim(tmp_path / "runs", left):  # by a rerun that goes on
        snapshot = look(tmp_path)
    assert states(snapshot) == {done.name: "done", left.name: "running"}
    assert snapshot.warnings == []

    shutil.rmtree(done)
    assert states(look(tmp_path)) == {left.name: "to resume"}
    shutil.copytree(left, done)
    (done / "result.json").write_text("{")
    assert states(look(tmp_path)) == {left.name: "to resume"}
    assert left.name in cli("-m", *TUNE, "sweep.dry_run=true")[1]


@pytest.mark.parametrize("same", [True, False], ids=["the same choice", "another choice"])
def test_a_rerun_that_was_killed_in_its_last_run_keeps_its_search(
    cli: Cli,
    done: Path,
    tmp_path: Path,
    choose: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
    same: bool,
) -> None:
    trials = sorted((tmp_path / "runs/tuning/mini/digits").iterdir())
    age(done, *trials)
    choose(2 if same else 8)
    original = tuning_module.run

    def killed(config: RunConfig, **rest: Any) -> Outcome:
        if "tuning" in rest:
            patch.setattr(RunWriter, "step", lambda _: signal.raise_signal(signal.SIGINT))
        return original(config, **rest)

    with monkeypatch.context() as patch:
        patch.setattr(tuning_module, "run", killed)
        code, _, err = cli(*RERUN)
    assert code == 130
    assert "typing the same command again resumes it. What was complete before is kept" in err
    begun = {trial: (trial / "result.json").stat().st_mtime_ns for trial in trials}
    assert all(read_record(trial).started != LONG_AGO for trial in trials)

    assert cli(*RERUN)[0] == 0
    assert begun == {trial: (trial / "result.json").stat().st_mtime_ns for trial in trials}
    folder = done if same else done.with_name(done.name.replace("r=2", "r=8"))
    assert read_record(folder).resumed != []
    assert states(look(tmp_path)) == {folder.name: "done"}
    assert done.with_name(f"{done.name}.superseded-1").is_dir()


def test_a_rerun_that_was_killed_in_its_search_goes_on_with_it(
    cli: Cli, done: Path, tmp_path: Path
) -> None:
    first, second = sorted((tmp_path / "runs/tuning/mini/digits").iterdir())
    age(done, second)  # as if only the first trial had been done since
    before = (first / "result.json").stat().st_mtime_ns
    assert cli(*RERUN)[0] == 0
    assert (first / "result.json").stat().st_mtime_ns == before
    assert read_record(second).started != LONG_AGO
    # Now that it is complete, another one does everything again, and what was done on other data.
    age(done)
    record = read_record(first)
    write_record(dataclasses.replace(record, data={**record.data, "sha256": "0" * 64}), first)
    assert cli(*RERUN)[0] == 0
    assert read_record(first).data == record.data
    age(done, first, second)
    assert cli(*RERUN)[0] == 0
    assert LONG_AGO not in {read_record(trial).started for trial in (first, second)}


def test_all_that_is_left_over_is_set_aside_in_the_end(
    cli: Cli, done: Path, tmp_path: Path
) -> None:
    age(done)
    left = beside(done, status="interrupted")
    assert cli(*RERUN)[0] == 0
    assert not left.exists()
    assert states(look(tmp_path)) == {done.name: "done"}
    assert look(tmp_path).warnings == []


@pytest.mark.parametrize("dangling", [False, True])
@pytest.mark.parametrize("trial", [False, True])
def test_a_link_is_told_before_the_search(
    cli: Cli, done: Path, tmp_path: Path, trial: bool, dangling: bool
) -> None:
    tuning = tmp_path / "runs/tuning"
    linked = next((tuning / "mini/digits").iterdir()) if trial else done
    linked.rename(tmp_path / "elsewhere")
    linked.symlink_to(tmp_path / "elsewhere")
    shutil.rmtree(done if trial else tuning)
    if dangling:
        shutil.rmtree(tmp_path / "elsewhere")
    kept = sorted(tmp_path.glob("runs/**/*"))
    for words in (("-m", *TUNE, "sweep.dry_run=true"), ("-m", *TUNE), TUNE, RERUN):
        code, out, err = cli(*words)
        assert code != 0
        assert f"{linked} is a link" in out + err
        assert "runs are not written through links" in out + err
    assert sorted(tmp_path.glob("runs/**/result.json")) == [
        path for path in kept if path.name == "result.json"
    ]


def test_a_trial_on_other_data_is_told_before_the_search(
    cli: Cli, done: Path, tmp_path: Path
) -> None:
    first, second = sorted((tmp_path / "runs/tuning/mini/digits").iterdir())
    shutil.rmtree(done)
    shutil.rmtree(first)
    record = read_record(second)
    write_record(dataclasses.replace(record, data={**record.data, "sha256": "0" * 64}), second)
    for words in (("-m", *TUNE, "sweep.dry_run=true"), TUNE):
        code, out, err = cli(*words)
        assert (code != 0, "holds this run on other data" in out + err) == (True, True)
    assert not first.exists()


@pytest.mark.parametrize("damaged", ["result.json", "config.yaml"])
def test_a_damaged_folder_is_found_by_its_identity(cli: Cli, done: Path, damaged: str) -> None:
    path = done / damaged
    path.write_text("{" if damaged == "result.json" else path.read_text().replace("0", "7"))
    out = cli("-m", *TUNE, "sweep.dry_run=true")[1]
    assert done.name in out
    assert "its result.json is damaged or contradicted; what is there is set aside" in out
    assert cli(*TUNE)[0] == 0
    assert read_record(done).status == "completed"
    assert done.with_name(f"{done.name}.superseded-1").is_dir()
