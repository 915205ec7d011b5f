"""How much of the machine's processor this process may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

#: where Linux says which control groups a process is in, and where their limits are
_MEMBERSHIP = Path("/proc/self/cgroup")
_LIMITS = Path("/sys/fs/cgroup")


def usable_cores() -> int:
    """Return the number of cores this process may use, at least 1.

    Those that it may be scheduled on, and no more than the quota of its control groups, by which
    containers and clusters limit it: more threads than that are stopped for most of each period.
    """
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return max(1, int(min([cores, *_quotas()])))


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
