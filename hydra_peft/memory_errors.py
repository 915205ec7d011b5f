"""A sentence about memory that was not there."""

from __future__ import annotations

import re
import resource

#: what torch says, on CPUs, on GPUs and of sizes that no machine has
_NO_MEMORY = re.compile("allocate memory|out of memory|not enough memory|calculation overflowed")
#: what was asked for, as torch says it on CPUs, and on GPUs, and numpy
_ASKED = re.compile(
    r"tried to allocate (?P<bytes>\d+) bytes"
    r"|(?:tried|unable) to allocate (?P<size>[\d.]+ \w?i?B)\b",
    re.IGNORECASE,
)
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")


def memory_sentence(error: BaseException) -> str | None:
    """Return a sentence where ``error`` is of too little memory, with the size that was asked for,
    if it says so; None for any other error."""
    said = str(error)
    if isinstance(error, RuntimeError) and "can't start new thread" in said:
        return (
            "no further thread can be started here: raise the limit of memory (ulimit -v) or of "
            "processes (ulimit -u), or end others."
        )
    of_torch = isinstance(error, RuntimeError) and _NO_MEMORY.search(said)
    if not of_torch and not isinstance(error, MemoryError):
        return None
    where = " on the GPU" if "CUDA" in said else ""
    asked = _ASKED.search(said)
    size = f" for another {asked['size'] or _in_words(int(asked['bytes']))}" if asked else ""
    free = "free some" if where or (allowed := _allowed()) is None else f"raise the {allowed}"
    return f"there is not enough memory{where}{size}: take less at once, or {free}."


def _allowed() -> str | None:
    """Return in words what limits the memory of this process; None where the machine alone does."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if limit == resource.RLIM_INFINITY else f"limit of {_in_words(limit)} (ulimit -v)"


def _in_words(count: int) -> str:
    size, unit = float(count), 0
    while size >= 1024 and unit < len(_UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size:,.0f} {_UNITS[unit]}"
