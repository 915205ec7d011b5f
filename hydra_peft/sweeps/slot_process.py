"""The parent's side of one worker process."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator, Sequence

from hydra_peft.sweeps.job import Job, JobEnd
from hydra_peft.sweeps.messages import (
    DiskError,
    Lines,
    MessageError,
    Ready,
    decode_answer,
    encode_job,
)
from hydra_peft.sweeps.slots import Slot


class SlotProcess:
    """A worker that runs in ``slot``.

    It has a session of its own: Ctrl-C at a terminal reaches the parent alone, which then sees to
    it that each worker ends with a checkpoint.

    Args:
        slot: what share of the machine it has.
        command: what is started, the number of the file descriptor for its ends is added.

    Attributes:
        job: what it is doing; None before it is ready and between jobs.
        ready: whether it has loaded what it needs.
        started: when, by the monotonic clock, in seconds.
        told_of: when its user was last told that it is not ready, the same way; None: never.
        mute: whether it can say nothing more: it has ended or is about to.
        ends: file descriptor that its lines come from.
    """

    def __init__(self, slot: Slot, command: Sequence[str]) -> None:
        self.slot = slot
        self.job: Job | None = None
        self.ready = False
        self.started = time.monotonic()
        self.told_of: float | None = None
        self.mute = False
        self._dismissed = False
        self._lines = Lines()
        self.ends, theirs = os.pipe()
        os.set_blocking(self.ends, False)
        try:
            self.process = subprocess.Popen(
                [*command, str(theirs)],
                stdin=subprocess.PIPE,
                stdout=2,  # what a job prints is no result of the sweep
                bufsize=0,
                env={**os.environ, **slot.environment},
                pass_fds=(theirs,),
                start_new_session=True,
            )
        except BaseException:
            os.close(self.ends)
            raise
        finally:
            os.close(theirs)

    @property
    def idle(self) -> bool:
        """Whether the process waits for a job."""
        return self.ready and self.job is None and not self._dismissed and not self.mute

    def give(self, job: Job) -> bool:
        """Hand it a job; False if it has died meanwhile."""
        assert self.process.stdin is not None
        line = encode_job(job)
        try:
            while line:
                line = line[self.process.stdin.write(line) or 0 :]
        except BrokenPipeError:
            self.mute = True
            return False
        self.job = job
        return True

    def answers(self) -> Iterator[JobEnd | DiskError]:
        """Give what it has said since; who says something else is killed."""
        try:
            while piece := self._read():
                for line in self._lines.add(piece):
                    answer = decode_answer(line, self.job)
                    if isinstance(answer, Ready):
                        self.ready = True
                        continue
                    self.job = None
                    yield answer
        except MessageError:
            self.process.kill()

    def _read(self) -> bytes:
        try:
            piece = os.read(self.ends, 2**16)
        except BlockingIOError:
            return b""
        self.mute = not piece
        return piece

    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return self.process.poll() is not None

    def wait(self, seconds: float) -> None:
        """Wait until it has ended, but no longer than that."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)

    def dismiss(self) -> None:
        """Let it end by itself: it will get no more jobs."""
        assert self.process.stdin is not None
        self._dismissed = True
        self.process.stdin.close()

    def close(self) -> None:
        """Close the pipes of a process that has ended."""
        self.dismiss()
        os.close(self.ends)
