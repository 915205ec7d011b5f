"""Cores that may be used, by files as Linux lays them out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hydra_peft import cores
from hydra_peft.cores import core_seconds, usable_cores


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


def test_seconds_of_the_cores_that_this_process_may_use(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    second = os.sysconf("SC_CLK_TCK")

    def core(name: str, *seconds: int) -> str:
        return " ".join([name, *(str(second * one) for one in (*seconds, 0, 0))])

    lines = [core("cpu ", *[99] * 8), core("cpu0", 1, 2, 3, 40, 5, 6, 7, 8)]
    lines += [core("cpu1", 1, 1, 1, 10, 1, 1, 1, 1), core("cpu2", *[1000] * 8), "intr 5 6", ""]
    (tmp_path / "stat").write_text("\n".join(lines))
    monkeypatch.setattr(cores, "_COUNTED", tmp_path / "stat")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    assert core_seconds() == (40 + 5 + 10 + 1, 72 + 17)
    for text in ("", "cpu0 1 2 3\n", "cpu0 a b\ncpu1 c\n"):  # a sandbox's, a damaged one
        (tmp_path / "stat").write_text(text)
        assert core_seconds() is None
    monkeypatch.setattr(cores, "_COUNTED", tmp_path / "nothing")
    assert core_seconds() is None


def test_this_machine_counts() -> None:
    if Path("/proc/stat").exists():
        idle, counted = core_seconds() or (0.0, 0.0)
        assert 0 <= idle <= counted
