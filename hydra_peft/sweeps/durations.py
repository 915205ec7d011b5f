"""Times of several jobs together, and times as words."""

from __future__ import annotations

import heapq
from collections.abc import Sequence


def in_slots(times: Sequence[float], slots: int) -> float:
    """Simulate the total time of jobs, each started in the slot that is free first."""
    free = [0.0] * slots
    for seconds in times:
        heapq.heapreplace(free, free[0] + seconds)
    return max(free)


def duration(seconds: float | None) -> str:
    """Return ``seconds`` in words that fit a table: ``12 s``, ``3 min``, ``2 h 05 min``."""
    if seconds is None:
        return "unknown"
    if seconds < 100:
        return f"{seconds:.0f} s" if seconds >= 1 else "1 s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"
