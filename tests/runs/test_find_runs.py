"""Which folders are runs, and what collecting them says of those that cannot be read."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from fabricated_runs import put, record

from hydra_peft.errors import UserError
from hydra_peft.runs.claims import claim, holder
from hydra_peft.runs.collection import collect
from hydra_peft.runs.folder import check_run_folder, find_runs, run_below
from hydra_peft.runs.record import write_record


def test_what_is_a_run_and_what_is_not(tmp_path: Path) -> None:
    run = put(tmp_path)
    write_record(record(), tmp_path / "deep" / "er" / "than" / "usual" / "run")
    write_record(record(), tmp_path / "other" / "tuning" / "run")  # a task of that name
    for place in (
        *(
            "tuning/mini/digits/run",
            "elsewhere/runs/tuning/mini/digits/run",
            ".claims/x",
            ".sweeps/y",
            "mini/digits/run.superseded-1",
        ),
        *(f"{run.relative_to(tmp_path)}/checkpoints", f"{run.relative_to(tmp_path)}/a/b"),
    ):
        write_record(record(), tmp_path / place)
    (tmp_path / "mini" / "digits" / "begun").mkdir()
    os.symlink(tmp_path, tmp_path / "mini" / "itself")
    os.symlink("nowhere", tmp_path / "mini" / "lost")
    assert find_runs(tmp_path) == sorted(
        [run, tmp_path / "deep/er/than/usual/run", tmp_path / "other/tuning/run"]
    )
    assert find_runs(run) == [run]
    assert find_runs(tmp_path / "tuning") == [tmp_path / "tuning/mini/digits/run"]


@pytest.mark.parametrize("place", [".", "mini", "mini/digits"])
def test_a_record_that_strayed_hides_no_run(tmp_path: Path, place: str) -> None:
    runs = [put(tmp_path), put(tmp_path, seed=1)]
    write_record(record(), tmp_path / "tuning" / "mini" / "digits" / "run")
    (tmp_path / place / "result.json").write_text("{}")
    write_record(record(), tmp_path / place / "checkpoints")  # of a run that was renamed
    write_record(record(), runs[0] / "copy")
    assert find_runs(tmp_path) == sorted([*runs, tmp_path / place])
    collection = collect(tmp_path)
    assert sorted(run.folder for run in collection.completed) == sorted(runs)
    (left_out,) = collection.warnings
    assert left_out.startswith(f"left out: {tmp_path / place / 'result.json'}")
    assert run_below(tmp_path) in map(str, runs)


def refuse(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let ``folder`` not be listed, as without permission; the tests may be root's."""
    scandir = os.scandir

    def guarded(path: Any) -> Any:
        if Path(path) == folder:
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)


@pytest.mark.parametrize("place", ["mini/digits", None])
def test_folders_that_cannot_be_listed_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str | None
) -> None:
    closed = put(tmp_path) if place is None else tmp_path / place
    put(tmp_path)
    write_record(record(seed=1), tmp_path / "mini" / "cells" / "open")
    refuse(monkeypatch, closed)
    collection = collect(tmp_path)
    assert [run.folder.name for run in collection.completed] == ["open"]
    assert collection.warnings == [f"cannot look into {closed}: Permission denied."]
    assert find_runs(tmp_path) == [tmp_path / "mini" / "cells" / "open"]


def test_runs_that_nobody_let_us_see_are_not_said_to_be_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, put(tmp_path))
    with pytest.raises(UserError, match=r"holds no run that you may read: let what is named be"):
        collect(tmp_path)


def test_records_that_cannot_be_opened_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed, opened = put(tmp_path), put(tmp_path, seed=1)
    real = os.open

    def guarded(path: Any, *args: Any, **kwargs: Any) -> int:
        if path == closed / "result.json":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", guarded)
    collection = collect(tmp_path)
    assert [run.folder for run in collection.completed] == [opened]
    assert collection.warnings == [
        f"left out: cannot read {closed}/result.json: Permission denied."
    ]


def test_the_later_of_two_equal_runs_counts_in_whatever_time_zone(tmp_path: Path) -> None:
    put(tmp_path)  # 12:30 UTC
    write_record(record(started="2026-01-01T13:00:00+01:00"), tmp_path / "at noon")
    (found,) = collect(tmp_path).completed
    assert found.record.started == "2026-01-01T12:30:00+00:00"


def test_only_what_nobody_does_was_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended, killed, hidden, alive = (put(tmp_path, "running", seed) for seed in range(4))

    def looked(_: Path, folder: Path) -> object:
        if folder == ended:  # after its record was read
            put(tmp_path)
        if folder == hidden:
            raise PermissionError(13, "Permission denied")
        return holder(tmp_path, folder)

    monkeypatch.setattr("hydra_peft.sweeps.liveness.holder", looked)
    with claim(tmp_path, alive):
        collection = collect(tmp_path)
    assert collection.killed == {killed}
    unknown, left_out = collection.warnings
    assert str(hidden) in unknown
    assert left_out == "runs that did not complete are left out: 1 killed, 3 running."


def test_each_bad_record_is_named_and_the_rest_counts(tmp_path: Path) -> None:
    good = put(tmp_path)
    bad: dict[str, Any] = {
        "truncated": json.dumps({"schema": 1})[:-3],
        "newer": json.dumps({"schema": 99}),
        "binary": "\0\0\0",
        "list": "[1]",
    }
    for name, text in bad.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "result.json").write_text(text)
    (tmp_path / "folder" / "result.json").mkdir(parents=True)
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe" / "result.json")
    write_record(record(started="2027-01-01T00:00:00+00:00"), tmp_path / "twin")
    collection = collect(tmp_path)
    assert [run.folder.name for run in collection.completed] == ["twin"]
    left_out = [text for text in collection.warnings if text.startswith("left out: ")]
    for name in (*bad, "folder", "pipe"):
        assert sum(f"{tmp_path}/{name}/result.json" in text for text in left_out) == 1, name
    assert len(left_out) == len(bad) + 2
    assert any("schema 99" in text for text in left_out)
    (twice,) = set(collection.warnings) - set(left_out)
    assert f"is there twice, as {good} and {tmp_path / 'twin'}: the later of the two" in twice


def test_a_folder_that_is_no_run_names_one_below_after_a_short_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = put(tmp_path)
    (tmp_path / "other").symlink_to(tmp_path)
    with pytest.raises(UserError, match=re.escape(f"such as {run}.")):
        check_run_folder(tmp_path)
    monkeypatch.setattr("hydra_peft.runs.folder._LOOKED_AT", 2)
    with pytest.raises(UserError, match=r"give the folder of one, as train\.py printed it"):
        check_run_folder(tmp_path)
    with pytest.raises(UserError, match="is not there: give the folder"):
        check_run_folder(tmp_path / ("a" * 300))


@pytest.mark.parametrize("closed", ["mini", "mini/digits"])
def test_a_run_in_a_folder_that_is_closed_is_not_said_to_be_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closed: str
) -> None:
    run, lstat = put(tmp_path), os.lstat

    def guarded(path: Any) -> Any:
        if tmp_path / closed in Path(path).parents:
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return lstat(path)

    monkeypatch.setattr(os, "lstat", guarded)
    with pytest.raises(UserError, match=r"cannot look into .*/mini/digits: Permission denied\."):
        check_run_folder(run)
