"""Threads of a training process on a CPU that other processes use, too."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from hydra_peft.cores import core_seconds

#: seconds between two looks at the load
INTERVAL = 0.5
#: a core that others use for less than this is shared with them
_SHAREABLE = 0.3
#: seconds until threads are added again, doubled each time that this was too early
_PATIENCE = 2.0
_MOST_PATIENCE = 60.0
_TOO_EARLY = 10.0


class LoadFollower:
    """Keeps torch's number of threads at the number of cores that other processes leave.

    Threads of one matrix product wait for each other. When one of them shares its core with another
    process, all wait until it gets its turn, for milliseconds, several hundred times a step: two
    threads on two cores, one of them busy, are several times slower than one thread. Fewer threads
    sum in another order, so results may differ in the last bits from those of an idle machine.

    There is one in a process, like the number of threads. It goes by the load since it was made, or
    since its last look, so that a run beside a busy program begins with few threads.

    Attributes:
        fewest: the smallest number of threads within the latest :meth:`following`.

    Args:
        counted, used, clock: seconds of cores as :func:`hydra_peft.cores.core_seconds` gives them,
            processor seconds of this process, and of the clock on the wall.
    """

    def __init__(
        self,
        *,
        counted: Callable[[], tuple[float, float] | None] = core_seconds,
        used: Callable[[], float] = time.process_time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._counted, self._used, self._clock = counted, used, clock
        self._most = self._threads = self.fewest = torch.get_num_threads()
        self._follow = False
        self._added = self._not_before = -_MOST_PATIENCE
        self._patience = _PATIENCE
        self._last = self._now()

    @contextmanager
    def following(self, follow: bool) -> Iterator[LoadFollower]:
        """Follow the load inside the context, where :meth:`look` is to be called often.

        Args:
            follow: False changes nothing.
        """
        self._most = self._threads = self.fewest = torch.get_num_threads()
        self._follow = follow and self._most > 1
        self.look()
        try:
            yield self
        finally:
            self._set(self._most)

    def look(self) -> None:
        """Use as many threads as fit beside the load since the last look, half a second ago."""
        if not self._follow or self._clock() - self._last[0] < INTERVAL:
            return
        before, self._last = self._last, self._now()
        free = _free_cores(before, self._last)
        if free is None:
            return
        fit = max(1, min(self._most, int(free + _SHAREABLE)))
        now = self._last[0]
        if fit < self._threads:
            early = now - self._added < _TOO_EARLY
            self._patience = min(2 * self._patience, _MOST_PATIENCE) if early else _PATIENCE
            self._not_before = now + self._patience
            self._set(fit)
        elif fit > self._threads and now >= self._not_before:
            self._added = now
            self._set(fit)

    @contextmanager
    def all(self) -> Iterator[None]:
        """Use the first number of threads inside the context: a score is to repeat bit for bit."""
        before = torch.get_num_threads()
        torch.set_num_threads(self._most)
        yield
        torch.set_num_threads(before)

    def _set(self, threads: int) -> None:
        if threads != self._threads:
            torch.set_num_threads(threads)
            self._threads = threads
            self.fewest = min(self.fewest, threads)

    def _now(self) -> tuple[float, float, tuple[float, float] | None]:
        return self._clock(), self._used(), self._counted()


def _free_cores(
    before: tuple[float, float, tuple[float, float] | None],
    after: tuple[float, float, tuple[float, float] | None],
) -> float | None:
    """Number of cores that were idle or used by this process; None where not known."""
    if before[2] is None or after[2] is None:
        return None
    seconds = after[0] - before[0]
    idle, counted = (new - old for old, new in zip(before[2], after[2], strict=True))
    # A system that does not count has nothing idle; one that was suspended counts too little.
    return (idle + after[1] - before[1]) / seconds if counted > 0.5 * seconds else None


#: the one of this process, as torch's number of threads is: streams of steps that take turns in it
#: follow the load together
FOLLOWER = LoadFollower()
