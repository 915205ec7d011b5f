"""A sentence about memory that was not there."""

from __future__ import annotations

import errno
import gc
import re
import resource
import traceback

from hydra_peft.plain_text import shortened, size_in_words

#: what torch says, on CPUs, on GPUs and of sizes that no machine has
_NO_MEMORY = re.compile("allocate memory|out of memory|not enough memory|calculation overflowed")
#: bytes; given back to the system when they are freed
_RESERVE = 2**22
_RESERVED: list[bytearray] = []
#: what a system's loader says of a library
_UNMAPPED = re.compile("failed to map segment|cannot map zero-fill pages")
#: what was asked for, as torch says it on CPUs, and on GPUs, and numpy
_ASKED = re.compile(
    r"tried to allocate (?P<bytes>\d+) bytes"
    r"|(?:tried|unable) to allocate (?P<size>[\d.]+ \w?i?B)\b",
    re.IGNORECASE,
)


def memory_sentence(error: BaseException) -> str | None:
    """Return a sentence where ``error`` is of too little memory, with the size that was asked for,
    if it says so; None for any other error."""
    said = str(error)
    if isinstance(error, RuntimeError) and "can't start new thread" in said:
        return (
            "no further thread can be started here: raise the limit of memory (ulimit -v) or of "
            "processes (ulimit -u), or end others."
        )
    if _is_unmapped(error):
        return f"there is not enough memory to go on ({shortened(said, 200)}): {_more()}."
    of_torch = isinstance(error, RuntimeError) and _NO_MEMORY.search(said)
    if not of_torch and not isinstance(error, MemoryError):
        return None
    where = " on the GPU" if "CUDA" in said else ""
    asked = _ASKED.search(said)
    size = f" for another {asked['size'] or size_in_words(int(asked['bytes']))}" if asked else ""
    free = "free some" if where else _more()
    return f"there is not enough memory{where}{size}: take less at once, or {free}."


def reserve() -> None:
    """Keep some memory for what is to be said and written once there is no more, where a limit of
    the shell's says how much there is."""
    if allowed_memory() is not None and not _RESERVED:
        _RESERVED.append(bytearray(_RESERVE))


def let_go(error: BaseException) -> None:
    """Free what was reserved, and what the functions that ``error`` ended had computed."""
    _RESERVED.clear()
    traceback.clear_frames(error.__traceback__)
    gc.collect()


def of_limit(error: BaseException) -> bool:
    """Whether ``error`` is of too little memory where a limit of the shell's allows no more: the
    same may go well without it."""
    told = memory_sentence(error)
    return told is not None and "on the GPU" not in told and allowed_memory() is not None


def _is_unmapped(error: BaseException) -> bool:
    """Whether ``error`` is of memory that was to be mapped, for a library or another process, or
    of a module that found none and said nothing."""
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    if isinstance(error, SystemError):
        return allowed_memory() is not None
    return isinstance(error, ImportError | OSError) and bool(_UNMAPPED.search(str(error)))


def _more() -> str:
    return "free some" if (allowed := allowed_memory()) is None else f"raise the {allowed}"


def allowed_memory() -> str | None:
    """Return in words what limits the memory of this process; None where the machine alone does."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return (
        None if limit == resource.RLIM_INFINITY else f"limit of {size_in_words(limit)} (ulimit -v)"
    )
