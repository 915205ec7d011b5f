"""The process of a slot: it does one job after another until nobody hands it more.

Jobs come as lines on standard input, ends go as lines to a pipe of their own, so that what jobs
print stays apart. Nothing is done for anybody but :func:`hydra_peft.sweeps.one_job.do_job`.
"""

from __future__ import annotations

import faulthandler
import io
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType

from hydra_peft.memory_errors import memory_sentence
from hydra_peft.sweeps.job import Job, JobEnd, interrupted
from hydra_peft.sweeps.messages import (
    Lines,
    MessageError,
    decode_job,
    encode_disk_error,
    encode_end,
    encode_ready,
)

INTERRUPTED = 130


def main() -> int:
    """Load what jobs need and do them; return the exit code."""
    faulthandler.enable()
    # Before anything asks whether there is somebody to show progress to.
    sys.stderr = _NoTerminal(open(2, "wb", closefd=False), line_buffering=True)  # noqa: SIM115
    try:
        from hydra_peft.sweeps.console import log_to_console
        from hydra_peft.sweeps.one_job import do_job

        log_to_console()
        return serve(do_job, int(sys.argv[-1]))
    except Exception as error:
        if (sentence := memory_sentence(error)) is None:
            raise
        sys.stderr.write(f"{sentence}\n")
        sys.stderr.flush()
        os._exit(1)  # what libraries do at the end finds no memory either


def serve(do: Callable[[Job], JobEnd], ends: int) -> int:
    """Do the jobs that come on standard input with ``do``; return the exit code.

    SIGTERM, or the end of standard input while a job is being done (the parent is gone), interrupts
    the job as Ctrl-C would: it writes its checkpoint and the process ends.

    Args:
        do: what does a job.
        ends: file descriptor to which ends are written.
    """
    os.set_inheritable(ends, False)
    jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
    busy = threading.Event()
    reader = threading.Thread(target=_read, args=(jobs, busy), daemon=True)
    try:
        signal.signal(signal.SIGTERM, _interrupt)
        reader.start()  # inside: it may interrupt at once
        _write(ends, encode_ready())
        while (job := jobs.get()) is not None:
            _do(do, job, ends, busy)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        return 1  # nobody is left to hear of it
    return 0


def _do(do: Callable[[Job], JobEnd], job: Job, ends: int, busy: threading.Event) -> None:
    """Do ``job`` and tell of its end; an interruption is told of and goes on."""
    try:
        answer = encode_end(do(job))
    except KeyboardInterrupt:
        _write(ends, encode_end(interrupted(job)))
        raise
    except OSError as error:
        answer = encode_disk_error(error)
    busy.clear()  # first: the next job comes as soon as this one's end is told
    _write(ends, answer)


def _read(jobs: queue.SimpleQueue[Job | None], busy: threading.Event) -> None:
    """Hand on the jobs of standard input; at its end stop the main thread, whatever it does."""
    lines = Lines()
    try:
        # Not sys.stdin: a thread that waits in it at exit holds its lock, which is fatal there.
        while piece := os.read(0, 2**16):
            for line in lines.add(piece):
                job = decode_job(line)
                busy.set()  # not by who takes it: the parent may be gone before that
                jobs.put(job)
    except (OSError, MessageError):
        pass  # whoever sends such a thing is not our parent any more
    jobs.put(None)
    if busy.is_set():
        os.kill(os.getpid(), signal.SIGTERM)


def _write(ends: int, line: bytes) -> None:
    while line:
        line = line[os.write(ends, line) :]


def _interrupt(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001
    raise KeyboardInterrupt


class _NoTerminal(io.TextIOWrapper):
    """Standard error of one process of several, whose progress bars would overwrite each other."""

    def isatty(self) -> bool:
        return False


if __name__ == "__main__":
    sys.exit(main())
