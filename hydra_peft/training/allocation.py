"""The allocator of a CPU process: keep freed memory for activations, or give it back."""

from __future__ import annotations

import ctypes
import gc
import sys

#: of glibc's malloc.h
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_LARGEST_INT = 2**31 - 1


def keep_freed_memory() -> bool:
    """Let this process keep the memory that tensors free, instead of handing it back each time.

    A step frees and takes the same large activations over and over; glibc gives those above 32 MB
    back to the kernel, which clears each page again. With this a step of ViT-B/16 on a CPU has a
    third of the page faults (``docs/speed.md``). Only glibc has the switch.

    Returns:
        Whether it was set.
    """
    if (library := _glibc()) is None:
        return False
    kept = library.mallopt(_M_MMAP_MAX, 0) and library.mallopt(_M_TRIM_THRESHOLD, _LARGEST_INT)
    return bool(kept)


def return_freed_memory() -> None:
    """Give the memory that this process has freed back to the system, where glibc keeps it."""
    gc.collect()
    if (library := _glibc()) is not None:
        library.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None
