"""What a sweep announces, and what becomes of earlier announcements."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from hydra_peft.sweeps.announce import announce
from hydra_peft.sweeps.announced import read_sweep
from hydra_peft.sweeps.job import Job
from hydra_peft.sweeps.plan import PlannedJob


@pytest.fixture
def planned(make_job: Callable[..., Job], tmp_path: Path) -> list[PlannedJob]:
    job = make_job("seed=3")
    config = job.run_config()
    return [PlannedJob(job, config, tmp_path / "runs/mini/digits/x", "new")]


def put(sweeps: Path, days: float, token: int) -> str:
    """Write an announcement of so many ``days`` ago; return its name."""
    sweeps.mkdir(parents=True, exist_ok=True)
    when = datetime.now(timezone.utc) - timedelta(days=days)
    name = f"{when:%Y%m%dT%H%M%SZ}-{token:08x}.json"
    (sweeps / name).write_text("{}")
    return name


def announced(planned: list[PlannedJob], sweeps: Path) -> tuple[Path, set[str]]:
    """Announce once more; return the new file, and the names of the others."""
    before = set(sweeps.iterdir()) if sweeps.is_dir() else set()
    announce(planned, "train.py -m")
    (new,) = set(sweeps.iterdir()) - before
    return new, {path.name for path in sweeps.iterdir()} - {new.name}


def test_jobs_are_announced(planned: list[PlannedJob], tmp_path: Path) -> None:
    new, _ = announced(planned, tmp_path / "runs/.sweeps")
    (job,) = read_sweep(new).jobs
    assert (job.folder, job.overrides) == ("mini/digits/x", "seed=3")


def test_those_of_more_than_a_month_ago_go(planned: list[PlannedJob], tmp_path: Path) -> None:
    sweeps = tmp_path / "runs/.sweeps"
    kept = {put(sweeps, days, 1) for days in (0.1, 29.9)}
    for days in (30.1, 400):
        put(sweeps, days, 2)
    assert announced(planned, sweeps)[1] == kept


def test_the_newest_fifty_stay(planned: list[PlannedJob], tmp_path: Path) -> None:
    sweeps = tmp_path / "runs/.sweeps"
    names = [put(sweeps, 1 + number / 24, number) for number in range(60)]
    assert announced(planned, sweeps)[1] == set(names[:49])


def test_the_new_one_stays_whatever_the_clocks_say(
    planned: list[PlannedJob], tmp_path: Path
) -> None:
    sweeps = tmp_path / "runs/.sweeps"
    names = [put(sweeps, -1 - number / 24, number) for number in range(60)]
    assert announced(planned, sweeps)[1] == set(names[11:])


def test_files_of_others_stay(planned: list[PlannedJob], tmp_path: Path) -> None:
    sweeps = tmp_path / "runs/.sweeps"
    ours = put(sweeps, 400, 1)
    others = {f"{ours}.bak", f"x{ours}", "notes.json", ours.upper(), f".{ours}.a1b2"}
    for name in others:
        (sweeps / name).write_text("{}")
    folder = ours.replace("00000001", "00000002")
    (sweeps / folder).mkdir()
    assert announced(planned, sweeps)[1] == {*others, folder}
