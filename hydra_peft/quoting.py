"""Whether sentences may quote what stands in a file: not in one that only a run's folder names.

Who trains names the files, and a sentence with their columns or labels helps. A run's folder may
come from elsewhere and name any file of this machine, and what is said of it may be passed on in a
report.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_QUOTED: ContextVar[bool] = ContextVar("_QUOTED", default=True)


@contextmanager
def unquoted() -> Iterator[None]:
    """Let no sentence quote what stands in files; also a decorator."""
    token = _QUOTED.set(False)
    try:
        yield
    finally:
        _QUOTED.reset(token)


def may_quote() -> bool:
    """Whether sentences may quote files, as those that somebody names may be."""
    return _QUOTED.get()


def of_file(text: object, instead: str = "…") -> str:
    """Return ``text``, which stands in a file, as a sentence may have it: ``instead`` within
    :func:`unquoted`."""
    return str(text) if may_quote() else instead
