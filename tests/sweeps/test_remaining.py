"""What is left of a sweep, and how long that takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fabricated_runs import EPOCHS, announce, epochs, folder_name, put

from hydra_peft.runs.claims import claim
from hydra_peft.sweeps.remaining import Remaining
from hydra_peft.sweeps.status import Survey

STARTED = "2026-01-01T00:00:00+00:00"


def remaining(runs: Path) -> list[Remaining]:
    return list(Survey(runs).look().sweeps)


def jobs(count: int, seconds: Any = None) -> list[dict[str, Any]]:
    folders = [folder_name(seed) for seed in range(count)]
    return [{"folder": folder, "overrides": "", "seconds": seconds} for folder in folders]


def test_a_sweep_that_is_going_on(tmp_path: Path) -> None:
    announce(tmp_path, "a", STARTED, [folder_name(s) for s in range(10)], {"slots": 2})
    for seed, seconds in enumerate((50.0, 60.0, 100.0)):
        put(tmp_path, "completed", seed, times={"total": seconds})
    put(tmp_path, "failed", 3)
    epochs(put(tmp_path, "running", 4), 2.0, 2.0, 2.0)  # 27 epochs of 2 s are left
    epochs(put(tmp_path, "running", 5), 1.0)  # 29 s are left
    put(tmp_path, "interrupted", 6)
    with claim(tmp_path, tmp_path / folder_name(4)), claim(tmp_path, tmp_path / folder_name(5)):
        (sweep,) = remaining(tmp_path)
    # Slots: 29 + 60 + 60 and 54 + 60 + 60 where a job takes 60 s, the median.
    assert sweep == Remaining(STARTED, 10, 3, 1, 6, 2, 54.0 + 60.0 + 60.0)


@pytest.mark.parametrize(
    ("seconds", "slots", "expected"),
    [
        (30.0, 1, 120.0),
        (30, 3, 60.0),
        (None, 1, None),
        ("30", 1, None),
        (True, 1, None),
        (-1.0, 1, None),
        (1e300, 1, None),
        (30.0, "2", 120.0),
        (30.0, 0, 120.0),
        (30.0, 10**30, 120.0),
        (10**400, 1, None),
    ],
)
def test_before_the_first_has_ended_its_announcement_tells(
    tmp_path: Path, seconds: Any, slots: Any, expected: float | None
) -> None:
    announce(tmp_path, "a", STARTED, [], {"slots": slots, "jobs": jobs(4, seconds)})
    (sweep,) = remaining(tmp_path)
    assert (sweep.left, sweep.running, sweep.seconds) == (4, 0, expected)


def test_before_the_first_has_ended_it_tells_how_long_the_others_take(tmp_path: Path) -> None:
    announce(tmp_path, "a", STARTED, [folder_name(s) for s in range(4)])
    epochs(put(tmp_path, "running", 0), *[2.0] * (EPOCHS - 1))  # one of EPOCHS is left
    with claim(tmp_path, tmp_path / folder_name(0)):
        (sweep,) = remaining(tmp_path)
    assert sweep.seconds == 2.0 + 3 * 2.0 * EPOCHS


def test_jobs_of_an_earlier_sweep_that_was_typed_again_are_the_later_ones(tmp_path: Path) -> None:
    announce(tmp_path, "a", STARTED, [folder_name(s) for s in range(4)])
    announce(tmp_path, "b", "2026-01-02T00:00:00+00:00", [folder_name(s) for s in range(1, 4)])
    put(tmp_path, "completed", 0)
    put(tmp_path, "completed", 1)
    (sweep,) = remaining(tmp_path)
    assert (sweep.jobs, sweep.done, sweep.left, sweep.seconds) == (3, 1, 2, 98.0)


def test_a_sweep_that_is_through_is_not_told_of(tmp_path: Path) -> None:
    announce(tmp_path, "a", STARTED, [folder_name(0), folder_name(1)])
    put(tmp_path, "completed", 0)
    put(tmp_path, "failed", 1)
    assert remaining(tmp_path) == []
