"""Run a command for a limited time, its lines passed on as they come."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

#: how long a command that is told to stop gets to write what it has
GRACE_SECONDS = 15.0
KEPT_LINES = 30


@dataclass(frozen=True)
class Ended:
    """End of a command.

    Attributes:
        code: exit code; minus the signal's number where one ended it.
        seconds: that it ran.
        stopped: whether that was for the time it took.
        lines: the last that it printed.
    """

    code: int
    seconds: float
    stopped: bool
    lines: list[str]


def run_limited(
    command: Sequence[str], cwd: Path, seconds: float, say: Callable[[str], None]
) -> Ended:
    """Run ``command`` in ``cwd``, at most so many seconds; ``say`` gets each line it prints.

    It has a process group of its own. Out of time, or where this process is interrupted, it gets
    SIGTERM, and after some seconds the whole group SIGKILL.
    """
    begun = time.perf_counter()
    process = subprocess.Popen(
        command,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    lines: deque[str] = deque(maxlen=KEPT_LINES)
    reader = threading.Thread(target=_read, args=(process, lines, say), daemon=True)
    reader.start()
    stopped = False
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        stopped = True
    finally:
        _stop(process)
        reader.join(GRACE_SECONDS)
    return Ended(process.returncode, time.perf_counter() - begun, stopped, list(lines))


def _read(process: subprocess.Popen[str], lines: deque[str], say: Callable[[str], None]) -> None:
    assert process.stdout is not None, "it is a pipe"
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        say(line.rstrip("\n"))


def _stop(process: subprocess.Popen[str]) -> None:
    """End the command if it runs, and what it left running."""
    if process.poll() is None:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
