"""A value that each thread has of its own, on its way within one forward."""

from __future__ import annotations

import threading
from typing import Any


class PerThread:
    """One value for each thread.

    So threads that call one model at the same time, as those of a server and of ``DataParallel``,
    do not meet, and what a thread leaves behind ends with it. Copies of a model, and pickled ones,
    have no value: a forward that was broken off leaves a tensor of its graph, which nothing copies.
    """

    def __init__(self) -> None:
        # no class that builds on it, whose attributes torch's compiler puts elsewhere
        self._local = threading.local()

    def put(self, value: Any) -> None:
        """Keep ``value`` for this thread."""
        self._local.value = value

    def get(self) -> Any:
        """Return this thread's value; None where it has none."""
        return getattr(self._local, "value", None)

    def take(self) -> Any:
        """Return this thread's value, which is then gone; None where it has none."""
        value = self.get()
        self.put(None)
        return value

    def __reduce__(self) -> tuple[type[PerThread], tuple[()]]:
        return type(self), ()
