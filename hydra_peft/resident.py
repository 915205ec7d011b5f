"""Resident memory of this process: what it has now, and the most it has had.

Linux counts both in ``/proc/self/status`` and forgets its peak when "5" is written to
``/proc/self/clear_refs`` (proc(5)). Elsewhere the peak is of the process's whole life.
"""

from __future__ import annotations

import resource
import sys
from contextlib import suppress
from pathlib import Path


def forget_peak() -> None:
    """Count the peak from now on, where the system lets a process do so."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_bytes() -> int:
    """Return the most memory that the process has had since its peak was forgotten, in bytes."""
    if (found := _status("VmHWM")) is not None:
        return found
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def resident_bytes() -> int:
    """Return the memory that the process has now, in bytes; its peak where that is not counted."""
    found = _status("VmRSS")
    return peak_bytes() if found is None else found


def _status(field: str) -> int | None:
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024
    return None
