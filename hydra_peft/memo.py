"""Memo of functions of values without a hash: configs, their groups, their mappings."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Memo(Generic[P, T]):
    """A function that is called once a process for each key; what it raises is not kept.

    Attributes:
        found: what it returned by key, the newest last.
    """

    def __init__(self, function: Callable[P, T], size: int, key: Callable[..., Any] | None) -> None:
        self._function, self._size, self._key = function, size, key
        self.__doc__ = function.__doc__
        self.found: dict[Hashable, T] = {}

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what the function returned for this key; call it where that is not known."""
        of = self._key(*args, **kwargs) if self._key else (*args, *kwargs.items())
        # Two classes may have one repr; and a repr tells 1 from 1.0 and "1", in keys too.
        parts = of if isinstance(of, tuple) else (of,)
        known = tuple(part if isinstance(part, type) else repr(part) for part in parts)
        if known not in self.found:
            found = self._function(*args, **kwargs)
            while len(self.found) >= self._size:
                del self.found[next(iter(self.found))]
            self.found[known] = found
        return self.found[known]


def memo(
    size: int, key: Callable[..., Any] | None = None
) -> Callable[[Callable[P, T]], Memo[P, T]]:
    """Make a function a :class:`Memo` of its last ``size`` keys.

    Args:
        size: results that are kept.
        key: what decides the result, from the arguments; all of them where it is not given.
    """
    return lambda function: Memo(function, size, key)
