"""Cores of this machine: how many this process may use, who says so, how long they were idle."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

#: variables by which a user gives the number of threads
VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
#: set by a launcher that gave these variables itself: a share that is there to be used, or less
SHARED = "HYDRA_PEFT_THREADS_ARE_A_SHARE"
#: where Linux says which control groups a process is in, and where their limits are
_MEMBERSHIP = Path("/proc/self/cgroup")
_LIMITS = Path("/sys/fs/cgroup")
#: where Linux counts what each core did since it started, in ticks
_COUNTED = Path("/proc/stat")
#: columns of a core's line after its name: user, nice, system, idle, iowait, irq, softirq, steal
_IDLE = slice(3, 5)
_ALL = slice(0, 8)


def usable_cores() -> int:
    """Return the number of cores this process may use, at least 1.

    Those that it may be scheduled on, and no more than the quota of its control groups, by which
    containers and clusters limit it: more threads than that are stopped for most of each period.
    """
    return max(1, int(min([len(_scheduled_on()), *_quotas()])))


def core_seconds() -> tuple[float, float] | None:
    """Return the idle and the total seconds of the cores that this process may use.

    Both are sums over these cores since the machine started; time that a hypervisor gave to others
    counts and is not idle. None where the system does not tell (no Linux, or a sandbox).
    """
    names = {f"cpu{core}" for core in _scheduled_on()}
    try:
        lines = [line.split(" ") for line in _COUNTED.read_text(encoding="ascii").splitlines()]
        ticks = [[int(tick) for tick in line[1:]] for line in lines if line[0] in names]
    except (OSError, ValueError):
        return None
    if len(ticks) < len(names):
        return None
    second = os.sysconf("SC_CLK_TCK")
    return (
        sum(sum(one[_IDLE]) for one in ticks) / second,
        sum(sum(one[_ALL]) for one in ticks) / second,
    )


def threads_are_given(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the user chose the number of threads, so that it is not to be changed."""
    return SHARED not in environment and any(environment.get(name) for name in VARIABLES)


def _scheduled_on() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def _quotas() -> Iterator[float]:
    """Yield the limits, in cores, of the control groups of this process, those above included."""
    try:
        lines = _MEMBERSHIP.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return
    for line in lines:
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        # Within a container the path may be as the host sees it: then the top alone is there.
        inner = PurePosixPath(path.lstrip("/"))
        for group in (inner, *inner.parents):
            if not controllers:
                yield from _ratio(_words(_LIMITS / group / "cpu.max"))
            elif "cpu" in controllers.split(","):
                for mounted in ("cpu", controllers):
                    folder = _LIMITS / mounted / group
                    names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
                    yield from _ratio([word for name in names for word in _words(folder / name)])


def _words(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return []


def _ratio(words: list[str]) -> Iterator[float]:
    """Yield quota / period (microseconds); nothing where there is no limit: max, or -1."""
    if len(words) == 2 and all(word.isdecimal() and int(word) > 0 for word in words):
        yield int(words[0]) / int(words[1])
