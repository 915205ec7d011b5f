"""Jobs handed out to worker processes, one at a time to whichever is free."""

from __future__ import annotations

import logging
import selectors
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Sequence

from hydra_peft.errors import UserError
from hydra_peft.sweeps.crashes import ended_by
from hydra_peft.sweeps.deferred import POLL_SECONDS, Deferred
from hydra_peft.sweeps.job import Job, JobEnd
from hydra_peft.sweeps.messages import DiskError
from hydra_peft.sweeps.slot_process import SlotProcess
from hydra_peft.sweeps.slots import Slot

log = logging.getLogger("hydra_peft")

#: a worker that dies so often in a row before it is ready will never be
MAX_FAILED_STARTS = 3
#: how long a job that is stopped may take for its checkpoint, in seconds
GRACE_SECONDS = 60.0
#: a worker that takes longer to load what it needs is told of, and again so much later, in seconds
START_SECONDS = 60.0
AGAIN_SECONDS = 1800.0
#: between two looks at processes whose pipe is still open somewhere
LOOK_SECONDS = 1.0


class Pool:
    """Does jobs in worker processes, one in each slot.

    Args:
        jobs: handed out in this order.
        slots: at least one.
        command: starts a worker, see :class:`SlotProcess`.
        crashed: called with a job whose process died, and how it did.
        fail_fast: whether to stop after the first job that does not complete.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        slots: Sequence[Slot],
        command: Sequence[str],
        crashed: Callable[[Job, str], None],
        *,
        fail_fast: bool = False,
    ) -> None:
        self._todo = deque(jobs)
        self._slots = list(slots)
        self._command = command
        self._crashed = crashed
        self._fail_fast = fail_fast
        self._workers: list[SlotProcess] = []
        self._failed_starts: Counter[int] = Counter()
        self._deferred = Deferred()
        self._looked = time.monotonic()
        self._selector = selectors.DefaultSelector()

    def ends(self) -> Generator[JobEnd, None, None]:
        """Give each job's end when it happens; stops what still runs when it is closed.

        Raises:
            UserError: no worker can be started.
            OSError: the disk takes nothing more.
        """
        try:
            while self._todo or self._deferred or self._busy():
                self._start_and_hand_out()
                ended: list[JobEnd] = []
                try:
                    self._wait(ended)
                except (OSError, UserError):
                    yield from ended  # what was done before is told
                    raise
                stops = self._fail_fast and any(end.error is not None for end in ended)
                if not stops:
                    self._start_and_hand_out()  # before the caller is busy with what ended
                yield from ended
                if stops:
                    return
        finally:
            self._stop()

    def _busy(self) -> bool:
        return any(worker.job is not None for worker in self._workers)

    def _start_and_hand_out(self) -> None:
        for worker in self._workers:
            if worker.idle and self._todo and worker.give(self._todo[0]):
                self._todo.popleft()
            elif worker.idle and not self._deferred:
                worker.dismiss()  # what it keeps in memory is of use to those that go on
        coming = sum(not worker.ready for worker in self._workers)
        taken = {id(worker.slot) for worker in self._workers}
        for slot in self._slots:
            if coming < len(self._todo) and id(slot) not in taken:
                worker = SlotProcess(slot, self._command)
                self._workers.append(worker)
                self._selector.register(worker.ends, selectors.EVENT_READ, worker)
                coming += 1

    def _wait(self, ended: list[JobEnd]) -> None:
        """Add the jobs that have ended by now, after waiting for something to happen."""
        self._selector.select(LOOK_SECONDS)
        full: DiskError | None = None
        for worker in list(self._workers):
            gone = worker.has_ended()  # asked first: what it has said before is then all there
            for answer in worker.answers():
                if isinstance(answer, DiskError):
                    full = answer
                elif answer.status == "claimed":
                    self._deferred.add(answer)
                else:
                    ended.append(answer)
            if worker.mute and not gone:
                worker.wait(LOOK_SECONDS)  # it is ending
            if gone:
                ended += self._bury(worker)
        if full is not None:
            raise full.as_error()
        self._tell_of_late()
        ended += self._look_elsewhere()

    def _tell_of_late(self) -> None:
        """Warn of workers that are long not ready: nothing else would say why no job begins.

        They are not killed: a disk may be that slow.
        """
        now = time.monotonic()
        late = [
            one
            for one in self._workers
            if not one.ready
            and now - one.started >= START_SECONDS
            and (one.told_of is None or now - one.told_of >= AGAIN_SECONDS)
        ]
        if not late:
            return
        for worker in late:
            worker.told_of = now
        log.warning(
            "still waiting for %s to load what jobs need, after %.0f s (a disk that hangs?): "
            "'kill %s' lets it be tried anew, Ctrl-C ends the sweep.",
            ", ".join(f"{one.slot.name} (process {one.process.pid})" for one in late),
            now - min(one.started for one in late),
            " ".join(str(one.process.pid) for one in late),
        )

    def _look_elsewhere(self) -> list[JobEnd]:
        now = time.monotonic()
        if self._todo or not self._deferred or now - self._looked < POLL_SECONDS:
            return []
        self._looked = now
        ends, again = self._deferred.poll()
        self._todo.extend(again)
        return ends

    def _bury(self, worker: SlotProcess) -> list[JobEnd]:
        self._workers.remove(worker)
        self._selector.unregister(worker.ends)
        worker.close()
        if worker.ready:
            self._failed_starts[id(worker.slot)] = 0
        else:
            self._start_failed(worker)
        if worker.job is None:
            return []
        sentence = f"{ended_by(worker.process.returncode)}."
        self._crashed(worker.job, sentence)
        line = f"{worker.job.name}: {sentence}"
        return [JobEnd(worker.job, "failed", line, error=sentence)]

    def _start_failed(self, worker: SlotProcess) -> None:
        slot = worker.slot
        self._failed_starts[id(slot)] += 1
        if self._failed_starts[id(slot)] < MAX_FAILED_STARTS:
            return
        how = ended_by(worker.process.returncode)
        sentence = f"{slot.name} cannot be used: {how} before its first job, three times in a row"
        self._slots = [other for other in self._slots if other is not slot]
        if not self._slots:
            raise UserError(
                f"{sentence}: see what it printed above; hydra/launcher=sequential does all jobs "
                "in this process."
            )
        log.warning("%s; the other slots go on.", sentence)

    def _stop(self) -> None:
        """End all workers: those that do a job with a checkpoint, if that does not take too long.

        A second Ctrl-C does not wait for that.
        """
        try:
            for worker in self._workers:
                if worker.job is not None:
                    worker.process.terminate()
                elif worker.ready:
                    worker.dismiss()
                else:
                    worker.process.kill()
            until = time.monotonic() + GRACE_SECONDS
            for worker in self._workers:
                worker.wait(max(0.0, until - time.monotonic()))
        finally:
            for worker in self._workers:
                worker.process.kill()
                worker.process.wait()
                worker.close()
            self._workers.clear()
            self._selector.close()
