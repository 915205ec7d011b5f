"""Signals that wait until training is at a place where it can be left."""

from __future__ import annotations

import inspect
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

#: taken whatever was to happen at them; others only where somebody handles them, as our entry
#: points (SIGHUP) and submitit do
_ALWAYS = (signal.SIGINT, signal.SIGTERM)
_IF_HANDLED = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


class Interrupts:
    """Defers SIGINT, SIGTERM, SIGHUP, SIGUSR1 and SIGUSR2.

    A context manager around everything that a run does; :meth:`defer` begins to take signals.
    From then on one that comes is only noted. Whoever trains looks at :attr:`pending` where it can
    be left, saves what it needs, and calls :meth:`deliver`: the handler that was there before is
    called, which mostly raises; if it returns, training goes on. At the end of the context
    handlers are put back, and what is still pending is delivered.

    A second SIGINT raises KeyboardInterrupt at once: somebody does not want to wait. Outside of the
    main thread, where Python allows no handlers, no signal is deferred.

    Args:
        stopped: whether somebody else asks for the end, as a signal would.
    """

    def __init__(self, stopped: Callable[[], bool] = lambda: False) -> None:
        self._stopped = stopped
        self._before: dict[int, Any] = {}
        self._pending: list[int] = []
        self._deadly: int | None = None

    def __enter__(self) -> Interrupts:
        return self

    @property
    def pending(self) -> bool:
        """Whether a signal waits, or somebody asks for the end."""
        return bool(self._pending) or self._stopped()

    def defer(self) -> None:
        """Take note of signals from now on, in the place of acting on them."""
        if threading.current_thread() is not threading.main_thread():
            return
        for signum in (*_ALWAYS, *_IF_HANDLED):
            handler = signal.getsignal(signum)
            # None: set by code that is not Python's, and not to be put back by us.
            if handler is not None and (signum in _ALWAYS or callable(handler)):
                self._before[signum] = handler
                signal.signal(signum, self._note)

    def _note(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002
        if signum == signal.SIGINT and signum in self._pending:
            self._pending.remove(signum)
            raise KeyboardInterrupt
        if signum not in self._pending:
            self._pending.append(signum)

    def deliver(self) -> None:
        """Call, for each signal that waits, the handler of before.

        Raises:
            SystemExit: a signal that would have ended the process by itself; at the end of the
                context it does.
            KeyboardInterrupt: somebody else asks for the end.
            BaseException: what the handler raises.
        """
        self._deliver_signals()
        if self._stopped():
            raise KeyboardInterrupt

    def _deliver_signals(self) -> None:
        while self._pending:
            signum = self._pending.pop(0)
            handler = self._before[signum]
            if handler == signal.SIG_DFL:
                self._deadly = signum
                raise SystemExit(128 + signum)
            if handler != signal.SIG_IGN:
                handler(signum, inspect.currentframe())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        before, self._before = self._before, {}
        for signum, handler in before.items():
            signal.signal(signum, handler)
        if self._deadly is not None:
            signal.raise_signal(self._deadly)
        if kind is None or issubclass(kind, Exception):
            self._before = before
            self._deliver_signals()
