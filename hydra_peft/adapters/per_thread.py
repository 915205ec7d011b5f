"""A value that each thread has of its own, on its way within one forward."""

from __future__ import annotations

import threading
from typing import Any

import torch


class PerThread:
    """One value for each thread.

    So threads that call one model at the same time, as those of a server and of ``DataParallel``,
    do not meet. Copies of a model, and pickled ones, have no value: a forward that was broken off
    leaves a tensor of its graph behind, which nothing copies.
    """

    def __init__(self) -> None:
        self._values: dict[int, Any] = {}

    def put(self, value: Any) -> None:
        """Keep ``value`` for this thread."""
        self._values[_thread()] = value

    def get(self) -> Any:
        """Return this thread's value; None where it has none."""
        return self._values.get(_thread())

    def take(self) -> Any:
        """Return this thread's value, which is then gone; None where it has none."""
        return self._values.pop(_thread(), None)

    def __getstate__(self) -> dict[str, Any]:
        return {"_values": {}}


def _thread() -> int:
    # A compiled graph hands on within itself, and its compiler knows no threads.
    return 0 if torch.compiler.is_compiling() else threading.get_ident()
