"""The processes of one command, found by a mark in their environment; Linux only."""

from __future__ import annotations

import contextlib
import os
import signal
from dataclasses import dataclass
from pathlib import Path

#: environment variable that carries the mark; children inherit it, whoever their parent becomes
MARK = "HYDRA_PEFT_CHAOS"


@dataclass(frozen=True)
class Found:
    """A process: its id, and whether it is the command itself or a worker of it."""

    pid: int
    kind: str


def marked(mark: str, worker: str) -> list[Found]:
    """Return the live processes that carry ``mark``.

    Args:
        mark: value of the environment variable :data:`MARK`.
        worker: word in the command line that tells a worker from the command itself.
    """
    found = []
    wanted = f"{MARK}={mark}".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        # A process that ends while it is looked at has nothing left to read.
        with contextlib.suppress(OSError):
            if wanted not in (entry / "environ").read_bytes().split(b"\0"):
                continue
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if "python" not in words[0]:
                continue  # git, asked for the commit
            kind = "worker" if any(worker in word for word in words) else "sweep"
            found.append(Found(int(entry.name), kind))
    return found


def kill(process: Found) -> bool:
    """Kill ``process`` as a power failure would (SIGKILL); return whether it was still there."""
    try:
        os.kill(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True
