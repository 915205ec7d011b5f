"""What a look at the run folders gives."""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from fabricated_runs import EPOCHS, announce, epochs, folder_name, put

from hydra_peft.runs.claims import claim
from hydra_peft.runs.folder import find_runs
from hydra_peft.sweeps import status
from hydra_peft.sweeps.status import Survey


def test_each_state_is_counted(tmp_path: Path) -> None:
    for seed, name in enumerate(("completed", "failed", "diverged", "interrupted", "running")):
        put(tmp_path, name, seed)
    claimed = put(tmp_path, "running", 5)
    announce(tmp_path, "a", "2026-01-01T00:00:00+00:00", [folder_name(s) for s in range(8)])
    with claim(tmp_path, claimed):
        snapshot = Survey(tmp_path).look()
    assert snapshot.counts() == {
        "done": 1,
        "running": 1,
        "to resume": 2,
        "failed": 1,
        "diverged": 1,
        "waiting": 2,
    }
    assert [run.seed for run in snapshot.of("running")] == [5]
    assert [run.seed for run in snapshot.of("to resume")] == [3, 4]
    assert [run.seed for run in snapshot.of("waiting")] == [6, 7]
    assert snapshot.warnings == []


def test_a_copy_of_a_run_is_named(tmp_path: Path) -> None:
    folder = put(tmp_path)
    shutil.copytree(folder, folder.with_name("z"))
    snapshot = Survey(tmp_path).look()
    assert snapshot.counts()["done"] == 2
    (warning,) = snapshot.warnings
    task = folder.parent.relative_to(tmp_path)
    assert warning.startswith(f"{task}/z is the same run as {task}/{folder.name}, and both are")


def test_a_running_job_says_how_far_it_is_and_where(tmp_path: Path) -> None:
    folder = put(tmp_path, "running")
    survey = Survey(tmp_path)
    with claim(tmp_path, folder):
        (run,) = survey.look().runs
        assert (run.state, run.epochs, run.progress, run.eta) == ("running", EPOCHS, None, None)
        assert run.host == os.uname().nodename
        epochs(folder, 2.0, 2.0, 3.0)
        (run,) = survey.look().runs
    assert run.progress is not None
    assert run.progress.epoch == 3
    assert run.eta == (EPOCHS - 3) * 2.0
    # released without an end: nobody does it any more
    (run,) = survey.look().runs
    assert (run.state, run.host) == ("to resume", None)
    assert run.progress is not None


def test_an_interrupted_run_that_is_claimed_again_runs(tmp_path: Path) -> None:
    folder = put(tmp_path, "interrupted", error="interrupted by the user.")
    survey = Survey(tmp_path)
    (run,) = survey.look().of("to resume")
    assert run.error == "interrupted by the user."
    with claim(tmp_path, folder):
        (run,) = survey.look().of("running")
    assert run.error is None


@pytest.mark.parametrize(
    ("total", "epoch", "seconds"),
    [(None, 1, 1.0), (5, 6, 1.0), (10**400, 1, 1.0), (5, 1, float("inf")), (5, 1, float("nan"))],
)
def test_numbers_that_give_no_time_give_none(
    tmp_path: Path, total: Any, epoch: int, seconds: float
) -> None:
    put(tmp_path, "running", science={"train": {"epochs": total}})
    epochs(tmp_path / folder_name(), seconds, first=epoch)
    (run,) = Survey(tmp_path).look().runs
    assert run.progress is not None
    assert run.eta is None


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _other_schema(path: Path) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": 3}))


def _other_types(path: Path) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), "science": [], "seed": None}))


def _nested(path: Path) -> None:
    path.write_text("[" * 200_000)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _link_to_itself(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


@pytest.mark.parametrize(
    "damage",
    [
        _truncate,
        _other_schema,
        _other_types,
        _nested,
        _folder,
        _pipe,
        _link_to_itself,
    ],
)
def test_a_broken_record_is_named_and_the_rest_goes_on(tmp_path: Path, damage: Any) -> None:
    broken = put(tmp_path, seed=1) / "result.json"
    put(tmp_path, seed=2)
    announce(tmp_path, "a", "2026-01-01T00:00:00+00:00", [folder_name(1)])
    damage(broken)
    snapshot = Survey(tmp_path).look()
    assert [run.seed for run in snapshot.runs] == [2]  # not among those that wait either
    (warning,) = snapshot.warnings
    assert str(broken.relative_to(tmp_path)) in warning
    assert str(tmp_path) not in warning


def test_a_record_without_permission_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = put(tmp_path, seed=1) / "result.json"
    put(tmp_path, seed=2)
    real = os.open

    def guarded(path: Any, *args: Any, **kwargs: Any) -> int:  # root may read everything
        if path == closed:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", guarded)
    snapshot = Survey(tmp_path).look()
    assert [run.seed for run in snapshot.runs] == [2]
    assert snapshot.warnings == [f"cannot read {folder_name(1)}/result.json: Permission denied."]


def test_a_folder_without_permission_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path)
    (tmp_path / "closed").mkdir()
    scandir = os.scandir

    def guarded(folder: str) -> Any:
        if folder == str(tmp_path / "closed"):
            raise PermissionError(errno.EACCES, "Permission denied", folder)
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", guarded)
    snapshot = Survey(tmp_path).look()
    assert len(snapshot.runs) == 1
    assert snapshot.warnings == ["cannot look into closed: Permission denied."]


@pytest.mark.parametrize("place", ["mini", "mini/digits", folder_name(0)])
def test_a_folder_within_the_runs_is_no_folder_without_runs(tmp_path: Path, place: str) -> None:
    put(tmp_path)
    snapshot = Survey(tmp_path / place).look()
    (warning,) = snapshot.warnings
    assert not snapshot.runs
    assert warning.endswith(f" it is {tmp_path}.")


def test_values_that_no_run_writes_are_named(tmp_path: Path) -> None:
    odd = {"correct": 1, "count": 1, "split": "", "selection": ""}
    for seed, accuracy in enumerate(("98", None, True, 10**400, [1])):
        put(tmp_path, seed=seed, metrics={**odd, "accuracy": accuracy})
    put(tmp_path, "failed", 8, error=["no", "text"], started=7)
    put(tmp_path, "failed", 9, science={"train": [3]})
    snapshot = Survey(tmp_path).look()
    ((seed, epochs),) = [(run.seed, run.epochs) for run in snapshot.runs]
    assert (seed, epochs) == (9, None)
    assert [text.split(" has no usable ")[1] for text in snapshot.warnings] == [
        *["scores..accuracy, selection.rule: edited?"] * 5,
        "started, error: edited?",
    ]


def test_what_is_set_aside_hidden_or_elsewhere_is_not_looked_at(tmp_path: Path) -> None:
    folder = put(tmp_path)
    shutil.copytree(folder, folder.with_name(f"{folder.name}.superseded-1"))
    shutil.copytree(folder, tmp_path / ".claims" / folder_name())
    shutil.copytree(folder, folder / "deeper" / "still")
    shutil.copytree(folder, tmp_path / "mini" / "shallow")
    (tmp_path / "mini" / "loop").symlink_to("loop")
    (tmp_path / "file").write_text("")
    snapshot = Survey(tmp_path).look()
    assert ([run.folder for run in snapshot.runs], snapshot.warnings) == ([folder_name()], [])


@pytest.mark.parametrize("strayed", [None, "mini", "mini/digits"])
def test_the_folder_of_runs_is_named_whatever_strayed_below_it(
    tmp_path: Path, strayed: str | None
) -> None:
    folder = put(tmp_path)
    if strayed:
        shutil.copy(folder / "result.json", tmp_path / strayed)
    for above in (folder, *folder.parents[:2]):
        (said,) = Survey(above).look().warnings
        assert said.endswith(f"{folder.name} it is {tmp_path}."), above


def test_links_to_folders_are_followed_by_nobody(tmp_path: Path) -> None:
    runs, elsewhere = tmp_path / "runs", tmp_path / "elsewhere"
    folder, other = put(runs), put(elsewhere, seed=1)
    (runs / "linked").symlink_to(elsewhere / "mini")
    (folder.parents[1] / "task").symlink_to(other.parent)
    (folder.parent / other.name).symlink_to(other)
    snapshot = Survey(runs).look()
    assert ([run.folder for run in snapshot.runs], snapshot.warnings) == ([folder_name()], [])
    assert find_runs(runs) == [folder]


def test_runs_of_a_search_are_counted_apart(tmp_path: Path) -> None:
    put(tmp_path)
    search = tmp_path / "tuning"
    for seed, name in enumerate(("completed", "completed", "failed", "running", "running")):
        put(search, name, seed)
    with claim(search, search / folder_name(4)):
        snapshot = Survey(tmp_path).look()
    assert snapshot.counts() == {state: int(state == "done") for state in status.STATES}
    assert snapshot.counts(searching=True) == {
        "done": 2,
        "running": 1,
        "to resume": 1,
        "failed": 1,
        "diverged": 0,
        "waiting": 0,
    }
    # Of a search only what goes on now is listed, and what keeps its job from being done.
    listed = [(run.state, run.searching) for run in snapshot.of(*status.STATES)]
    assert listed == [("done", False), ("failed", True), ("running", True)]


def test_a_claim_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    put(tmp_path, "running")
    place = tmp_path / ".claims" / folder_name()
    place.parent.mkdir(parents=True)
    place.write_text("")  # a file where a folder should be
    snapshot = Survey(tmp_path).look()
    assert snapshot.counts()["to resume"] == 1
    (warning,) = snapshot.warnings
    assert folder_name() in warning


def test_a_silent_holder_on_another_machine_is_found_dead_by_watching(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = put(tmp_path, "running")
    with monkeypatch.context() as patched:
        patched.setattr("socket.gethostname", lambda: "elsewhere")
        # as if switched off: no beat, and never given back
        stack = claim(tmp_path, folder, beat_seconds=1e6)
        stack.__enter__()
    survey = Survey(tmp_path)
    assert [run.host for run in survey.look().of("running")] == ["elsewhere"]
    clock = [time.monotonic()]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    states = []
    for _ in range(5):
        clock[0] += 20
        states += [run.state for run in survey.look().runs]
    assert states[0] == "running"
    assert states[-1] == "to resume"
    assert Survey(tmp_path).look().counts()["running"] == 1  # who looks once cannot know


def test_waiting_jobs_of_the_newest_sweep_come_first_and_once(tmp_path: Path) -> None:
    def folders(*seeds: int) -> list[str]:
        return [folder_name(seed) for seed in seeds]

    # The names say another order than the times, of which one is that of another time zone.
    announce(tmp_path, "a", "2026-01-02T01:00:00+03:00", folders(3, 4))
    announce(tmp_path, "b", "2026-01-02T00:00:00+00:00", folders(4, 2))
    announce(tmp_path, "c", "no time", folders(1, 2))
    put(tmp_path, "failed", 2)
    snapshot = Survey(tmp_path).look()
    assert [run.seed for run in snapshot.of("waiting")] == [4, 3, 1]
    assert snapshot.of("waiting")[0].overrides == "seed=0"


def test_an_announced_job_that_is_claimed_is_running(tmp_path: Path) -> None:
    announce(tmp_path, "a", "2026-01-01T00:00:00+00:00", [folder_name(1), "odd/place/name"])
    with claim(tmp_path, tmp_path / folder_name(1)):
        snapshot = Survey(tmp_path).look()
    (run,) = snapshot.of("running")
    assert (run.task, run.method, run.seed) == ("mini/digits", "hydra r=2+2", 1)
    assert run.config_id == f"{1:012x}"
    (run,) = snapshot.of("waiting")
    assert (run.task, run.method) == ("odd/place", "name")


@pytest.mark.parametrize(
    "changes",
    [
        {"schema": 2},
        {"jobs": None},
        {"started": 3},
        {"jobs": ["mini"]},
        {"jobs": [{"folder": "mini/digits/a"}]},
        {"jobs": [{"folder": "../../elsewhere", "overrides": ""}]},
        {"jobs": [{"folder": "/etc", "overrides": ""}]},
        {"jobs": [{"folder": "", "overrides": ""}]},
        {"jobs": [{"folder": "a\0b", "overrides": ""}]},
        {"jobs": [{"folder": "a/\ud800/b", "overrides": ""}]},
        {"jobs": [{"folder": "a//b", "overrides": ""}]},
    ],
)
def test_a_sweep_that_is_not_ours_is_named(tmp_path: Path, changes: dict[str, Any]) -> None:
    put(tmp_path)
    path = announce(tmp_path, "a", "2026-01-01T00:00:00+00:00", [folder_name(1)], changes)
    (path.parent / ".half.json.tmp").write_text("{")
    snapshot = Survey(tmp_path).look()
    assert snapshot.counts()["done"] == 1
    assert snapshot.counts()["waiting"] == 0
    (warning,) = snapshot.warnings
    assert ".sweeps/a.json" in warning


def test_only_what_changed_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    reader = status.read_record

    def counted(folder: Path, **others: Any) -> Any:
        read.append(folder.name[-3:])
        return reader(folder, **others)

    monkeypatch.setattr(status, "read_record", counted)
    for seed in range(3):
        put(tmp_path, "interrupted", seed)
    survey = Survey(tmp_path)
    survey.look()
    assert len(read) == 3
    read.clear()
    put(tmp_path, "completed", 1)
    shutil.rmtree(tmp_path / folder_name(2))
    assert survey.look().counts()["done"] == 1
    assert len(read) == 1
    assert [run.seed for run in survey.look().runs] == [0, 1]
    put(tmp_path, "failed", 2)
    assert survey.look().counts()["failed"] == 1


def test_a_record_that_is_mended_is_read(tmp_path: Path) -> None:
    path = put(tmp_path) / "result.json"
    whole = path.read_bytes()
    path.write_bytes(whole[:50])
    survey = Survey(tmp_path)
    assert len(survey.look().warnings) == 1
    path.write_bytes(whole)
    assert survey.look().counts()["done"] == 1


def test_a_run_that_vanishes_while_it_is_read_is_no_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = put(tmp_path)
    reader = status.read_record

    def late(which: Path, **others: Any) -> Any:
        shutil.rmtree(folder)
        return reader(which, **others)

    monkeypatch.setattr(status, "read_record", late)
    snapshot = Survey(tmp_path).look()
    assert (snapshot.runs, snapshot.warnings) == ([], [])


def test_folders_that_went_away_are_an_empty_look(tmp_path: Path) -> None:
    snapshot = Survey(tmp_path / "gone").look()
    assert (snapshot.runs, snapshot.warnings) == ([], [])
