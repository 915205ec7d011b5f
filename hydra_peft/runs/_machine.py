"""Identity of a process on its machine, and whether it has ended, as far as can be known."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """A process, named so that no other one, now or later, is taken for it.

    Attributes:
        host: the machine's name.
        boot_id: of the running kernel; None where the system tells none.
        namespace: inode of the pid namespace (two containers of one machine count pids apart);
            None where the system has none.
        pid: its number.
        started: clock ticks from boot to its start, since numbers are used again; None where the
            system does not tell.
    """

    host: str
    boot_id: str | None
    namespace: int | None
    pid: int
    started: int | None


def this_process() -> Process:
    """Return the calling process."""
    pid = os.getpid()
    own = _stat("self")
    # Another number here means that /proc shows another pid namespace than ours: it cannot be used.
    started = own.started if own is not None and own.pid == pid else None
    return Process(socket.gethostname(), _boot_id(), _namespace(), pid, started)


def is_gone(process: Process) -> bool:
    """Return True if ``process`` was of this machine and has ended, a zombie included.

    False where that cannot be known: it is of another machine, or the system does not tell.
    """
    here = this_process()
    if None in (here.boot_id, here.namespace, here.started, process.started):
        return False
    if (here.host, here.boot_id, here.namespace) != (
        process.host,
        process.boot_id,
        process.namespace,
    ):
        return False
    try:
        os.kill(process.pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass  # somebody else's process: there is one
    # /proc may hide the processes of others (hidepid), so that nothing there proves nothing.
    now = _stat(str(process.pid))
    return now is not None and (now.started != process.started or now.state in "ZX")


@dataclass(frozen=True)
class _Stat:
    pid: int
    state: str
    started: int


def _stat(name: str) -> _Stat | None:
    try:
        text = Path("/proc", name, "stat").read_text(encoding="utf-8", errors="replace")
        # The second field is the program's name in brackets, which may hold blanks and brackets.
        fields = text[text.rindex(")") + 1 :].split()
        return _Stat(int(text.split(maxsplit=1)[0]), fields[0], int(fields[19]))
    except (OSError, ValueError, IndexError):
        return None


def _boot_id() -> str | None:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip() or None
    except (OSError, ValueError):
        return None


def _namespace() -> int | None:
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return None
