"""Hydra's question whether a preset is a sweep, asked only where one may be.

It composes the whole config to read ``hydra.mode``, and then composes it again: 0.2 s a command.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from hydra._internal.hydra import Hydra


@contextmanager
def mode_of(words: Sequence[str]) -> Iterator[None]:
    """Let Hydra look for ``hydra.mode`` where ``words`` of a command line may have set it."""
    original = Hydra.get_mode
    if not _may_set_mode(words):
        Hydra.get_mode = _unset  # type: ignore[method-assign]
    try:
        yield
    finally:
        Hydra.get_mode = original  # type: ignore[method-assign]


def _may_set_mode(words: Sequence[str]) -> bool:
    """Whether the mode may be another than the flags say.

    Of the groups in ``conf`` presets alone set it (a test holds them to that); with a flag there
    may be yaml of one's own.
    """
    if {"-m", "--multirun"} & set(words):
        return False
    return any(word.startswith("-") or "experiment" in word or "hydra" in word for word in words)


def _unset(*_: object, **__: object) -> None:
    return None
