"""Freed memory stays with the process: in its heap, not in mappings that are handed back."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, json, sys
import torch
from hydra_peft.training.allocation import keep_freed_memory

libc = ctypes.CDLL(None)
if not hasattr(libc, "mallinfo2"):
    sys.exit(3)

class MallInfo(ctypes.Structure):  # of glibc's malloc.h
    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split())]

libc.mallinfo2.restype = MallInfo

def measured():
    before = libc.mallinfo2()
    tensor = torch.ones(2**24)  # 64 MB
    held = libc.mallinfo2()
    del tensor
    after = libc.mallinfo2()
    return {
        "mapped": held.hblkhd - before.hblkhd,
        "kept": after.arena + after.hblkhd - before.arena - before.hblkhd,
    }

plain = measured()
assert keep_freed_memory()
print(json.dumps({"plain": plain, "kept": measured()}))
"""


def test_where_a_large_tensor_lies_and_what_is_left_of_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False
    )
    if done.returncode == 3:
        pytest.skip("the C library is not glibc 2.33 or newer")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    # An allocator rounds, and keeps some of its own: which way, not to the byte.
    tensor = 2**26
    assert found["plain"]["mapped"] > 0.9 * tensor
    assert found["plain"]["kept"] < 0.5 * tensor
    assert found["kept"]["mapped"] < 0.1 * tensor
    assert found["kept"]["kept"] > 0.9 * tensor
