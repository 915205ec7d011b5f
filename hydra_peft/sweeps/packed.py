"""``hydra/launcher=packed``: jobs in turn in this process, whose steps are computed at once."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Generator, Sequence

from hydra_peft.config.schema import LauncherConfig
from hydra_peft.packing.reasons import why_not_packed
from hydra_peft.sweeps.job import Job, JobEnd, interrupted
from hydra_peft.sweeps.with_trials import Taken, WithTrials

log = logging.getLogger("hydra_peft")

#: seconds between two looks at whether a signal has come
_LOOK = 0.2


def launch_jobs(jobs: Sequence[Job], *, fail_fast: bool = False) -> Generator[JobEnd, None, None]:
    """Do ``jobs``: those that can in packs of ``launcher.pack``, then the others one by one.

    Each end is given when it happens, in no particular order. To be closed by who stops asking
    before the last: jobs that are under way then write their checkpoints. Trials of a search that
    are certain to be done share steps as jobs do; the search goes on from their scores.

    Args:
        jobs: all of one sweep.
        fail_fast: stop like that after the first that does not complete.

    Raises:
        OSError: the disk takes nothing more; no later job can do better.
        KeyboardInterrupt, SystemExit: a signal, after all jobs under way wrote a checkpoint.
    """
    from hydra_peft.sweeps import sequential
    from hydra_peft.sweeps.console import log_to_console

    log_to_console()
    configured = [(job, job.run_config()) for job in jobs]
    left = [job for job, one in configured if why_not_packed(one)]
    together = [pair for pair in configured if not why_not_packed(pair[1])]
    # Neighbours share the most: backbone, then data.
    together.sort(key=lambda pair: repr((pair[1].model, pair[1].precision, pair[1].dataset.name)))
    if together:
        config = together[0][1]
        pack = _Members(WithTrials(together), config.launcher, config.device)
        yield from pack.ends(fail_fast=fail_fast)
        if pack.failed and fail_fast:
            return
        left += pack.claimed
    for end in sequential.launch_jobs(left):
        yield end
        if fail_fast and end.error is not None:
            return


class _Members:
    """Threads that each do one job after another, in turn.

    Attributes:
        claimed: jobs that somebody else does now.
        failed: whether one did not complete.
    """

    def __init__(self, jobs: WithTrials, launcher: LauncherConfig, device: str) -> None:
        from hydra_peft.packing.pack import Pack
        from hydra_peft.packing.room import MOST, Room
        from hydra_peft.runs.shared import Kept
        from hydra_peft.training.devices import resolve_device

        self.claimed: list[Job] = []
        self.failed = False
        self._todo = jobs
        self._idle = self._ends_so_far = 0
        self._pack = Pack(self._grow)
        self._ends: queue.SimpleQueue[JobEnd | BaseException | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._kept = Kept()
        asked = launcher.pack
        self._most = MOST if asked == "auto" else int(asked)
        self._room = Room(resolve_device(device)) if asked == "auto" else None

    def ends(self, *, fail_fast: bool) -> Generator[JobEnd, None, None]:
        """Give the end of each job when it happens; see :func:`launch_jobs`."""
        from hydra_peft.training.interrupts import Interrupts

        with Interrupts() as interrupts:
            interrupts.defer()
            try:
                with self._pack.turn:
                    self._start()
                    while self._room is None and self._may_start():
                        self._start()
                yield from self._collect(lambda: interrupts.pending, fail_fast)
            except KeyboardInterrupt:
                self._threads.clear()  # asked for twice: not to wait for checkpoints
                raise
            finally:
                self._pack.stopped.set()
                for thread in self._threads:
                    thread.join()

    def _collect(
        self, pending: Callable[[], bool], fail_fast: bool
    ) -> Generator[JobEnd, None, None]:
        gone = 0
        error: BaseException | None = None
        while gone < len(self._threads):
            if pending():
                self._pack.stopped.set()
            try:
                end = self._ends.get(timeout=_LOOK)
            except queue.Empty:
                continue
            if end is None:
                gone += 1
            elif isinstance(end, BaseException):
                error = error or end
                self._pack.stopped.set()
            elif end.status == "claimed":
                self.claimed.append(end.job)
            else:
                self.failed = self.failed or end.error is not None
                yield end
                if self.failed and fail_fast:
                    self._pack.stopped.set()
        if error is not None:
            raise error

    def _may_start(self) -> bool:
        more = self._todo.any_ready() and self._pack.members + self._idle < self._most
        return more and not self._pack.stopped.is_set()

    def _grow(self) -> None:
        """After a pass of all members: take in another one, if there is room."""
        if self._room is None or not self._may_start():
            return
        if self._room.for_another(self._pack.members):
            self._start()

    def _start(self) -> None:
        """Start a member, which works once the turn is its own; none more if there is no thread."""
        thread = threading.Thread(target=self._work, name="packed", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            if not self._threads:
                raise
            self._most = self._pack.members + self._idle
            log.warning("no further thread can be started: %d runs at once", self._most)
            return
        self._pack.join()
        self._threads.append(thread)

    def _work(self) -> None:
        """Do jobs until there are none; what ends them all is told to who collects."""
        from hydra_peft.packing.member import Member
        from hydra_peft.runs.shared import Shared
        from hydra_peft.sweeps.one_job import do_job

        with self._pack.turn:
            shared = Shared(Member(self._pack), self._kept)
            try:
                while (taken := self._next()) is not None:
                    try:
                        end = do_job(taken.job, shared)
                    except KeyboardInterrupt:  # of what stopped all
                        end = interrupted(taken.job)
                    finally:
                        self._ended(taken)
                    if not taken.is_trial:  # of these the search says what is to be said
                        self._ends.put(end)
            except BaseException as error:
                self._ends.put(error)
            finally:
                try:
                    self._pack.leave()
                finally:
                    self._ends.put(None)

    def _next(self) -> Taken | None:
        """Take a job or trial; wait where all that are left wait for trials of other members."""
        while not self._is_over():
            if (taken := self._todo.take()) is not None:
                return taken
            self._wait()
        return None

    def _wait(self) -> None:
        """Be no member until another one has ended something."""
        since = self._ends_so_far
        self._pack.leave()
        self._idle += 1
        while since == self._ends_so_far and not self._pack.stopped.is_set():
            self._pack.turn.wait(_LOOK)
        if since == self._ends_so_far:
            self._awake(1)

    def _ended(self, taken: Taken) -> None:
        self._todo.ended(taken)
        self._ends_so_far += 1
        # Now: the pass of whoever goes on would not wait for one that is still to wake up.
        self._awake(self._idle)
        self._pack.turn.notify_all()

    def _awake(self, count: int) -> None:
        self._idle -= count
        for _ in range(count):
            self._pack.join()

    def _is_over(self) -> bool:
        return not self._todo or self._pack.stopped.is_set()
