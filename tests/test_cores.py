"""Cores that may be used, by files as Linux lays them out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hydra_peft import cores
from hydra_peft.cores import usable_cores


def first(folder: str, quota: int) -> dict[str, str]:
    """Limits of the first version of control groups."""
    return {f"{folder}/cpu.cfs_quota_us": str(quota), f"{folder}/cpu.cfs_period_us": "100000"}


@pytest.fixture(autouse=True)
def _eight_cores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(cores, "_MEMBERSHIP", tmp_path / "proc/cgroup")
    monkeypatch.setattr(cores, "_LIMITS", tmp_path / "sys")


def laid_out(folder: Path, membership: str, limits: dict[str, str]) -> None:
    for path, text in {
        "proc/cgroup": membership,
        **{f"sys/{k}": v for k, v in limits.items()},
    }.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text + "\n")


@pytest.mark.parametrize(
    ("membership", "limits", "expected"),
    [
        ("0::/", {}, 8),
        ("0::/", {"cpu.max": "max 100000"}, 8),
        ("0::/", {"cpu.max": "200000 100000"}, 2),
        ("0::/", {"cpu.max": "350000 100000"}, 3),
        ("0::/", {"cpu.max": "50000 100000"}, 1),
        ("0::/", {"cpu.max": "9900000 100000"}, 8),
        ("0::/a/b", {"a/b/cpu.max": "max 100000", "a/cpu.max": "400000 100000"}, 4),
        ("0::/host/path", {"cpu.max": "300000 100000"}, 3),
        (
            "5:cpu,cpuacct:/a\n4:memory:/x",
            first("cpu,cpuacct/a", 200000),
            2,
        ),
        ("5:cpu:/docker/1f", first("cpu", 500000), 5),
        ("5:cpu:/", first("cpu", -1), 8),
        ("4:cpuset:/", first("cpu", 100000), 8),
        ("nonsense", {"cpu.max": "200000 100000"}, 2),
        ("0::/", {"cpu.max": "a lot"}, 8),
        ("0::/", {"cpu.max": "100000 0"}, 8),
    ],
)
def test_quotas_limit_cores(
    tmp_path: Path, membership: str, limits: dict[str, str], expected: int
) -> None:
    laid_out(tmp_path, membership, limits)
    assert usable_cores() == expected


def test_without_control_groups_it_is_what_may_be_scheduled_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert usable_cores() == 8
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cores() == 1
