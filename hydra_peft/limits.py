"""Limits of numbers and words of options, written where their types are.

``epochs: Annotated[int, Limits(least=1)]``, ``cache: Annotated[str, Words("all", "none")]``.
"""

from __future__ import annotations

import functools
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from hydra_peft.errors import UserError
from hydra_peft.finite import is_finite
from hydra_peft.plain_text import quoted


@dataclass(frozen=True)
class Limits:
    """The range that a number has to lie in; no range holds NaN or an infinity.

    Attributes:
        least, most: the smallest and the largest that is allowed.
        above, below: bounds that are not allowed themselves.
        apart: how far the number has to be from zero, on either side.
        logarithmic: whether values differ by factors: searches draw such by their logarithm.
    """

    least: float | None = None
    most: float | None = None
    above: float | None = None
    below: float | None = None
    apart: float | None = None
    logarithmic: bool = False

    def admit(self, value: object) -> bool:
        """Whether ``value`` is a number, no boolean, in the range."""
        if not is_finite(value):
            return False
        number = typing.cast(float, value)
        return (
            (self.least is None or number >= self.least)
            and (self.most is None or number <= self.most)
            and (self.above is None or number > self.above)
            and (self.below is None or number < self.below)
            and (self.apart is None or abs(number) >= self.apart)
        )

    def __str__(self) -> str:
        bounds = {"at least": self.least, "above": self.above}
        bounds |= {"at most": self.most, "below": self.below}
        said = [f"{word} {_number(bound)}" for word, bound in bounds.items() if bound is not None]
        said += [f"{self.apart:g} or more away from 0"] if self.apart is not None else []
        return " and ".join(said).replace("above 0", "positive", self.above == 0)


class Words:
    """The words that an option has to be one of.

    Args:
        allowed: ``true`` and ``false`` are those of yaml too, which come as ``True`` and ``False``.
    """

    def __init__(self, *allowed: str) -> None:
        self.allowed = allowed

    def admit(self, value: object) -> bool:
        """Whether ``value`` is one of them."""
        return (value.lower() if value in ("True", "False") else value) in self.allowed

    def __str__(self) -> str:
        return f"one of {', '.join(self.allowed)}"


class InWords(Words):
    """What an option has to be, in words: who takes it checks it."""

    def admit(self, value: object) -> bool:  # noqa: ARG002
        """Whether ``value`` may be it."""
        return True

    def __str__(self) -> str:
        return self.allowed[0]


#: a learning rate that a schedule may reach; one below would move no float32 weight
LearningRate = Annotated[float, Limits(least=1e-12, most=1e6, logarithmic=True)]
#: a probability, or another share of one, that leaves something
Share = Annotated[float, Limits(least=0, below=1)]
#: the factor of a low-rank branch, which near zero would learn nothing; 100 is the largest that we
#: know of in public code (FacT)
Scale = Annotated[float, Limits(least=-1000, most=1000, apart=1e-9, logarithmic=True)]
#: the rank of a branch; no layer of a model in timm has room for more
Rank = Annotated[int, Limits(least=1, most=2**14, logarithmic=True)]


def check_limits(cls: type, values: Mapping[str, Any], prefix: str = "") -> None:
    """Compare ``values`` with the limits and words in the annotations of ``cls``.

    Those in lists and dictionaries, and those that may be None, are compared too.

    Args:
        cls: a class with annotated fields.
        values: of its fields; others are passed over.
        prefix: what precedes a field's name in messages, such as ``optimizer.``.

    Raises:
        UserError: a number is out of its range, or a word none of those that its option may be;
            the message names the key, and the range or the words.
    """
    hints = _hints(cls)
    for name in values.keys() & hints.keys():
        check_limit(hints[name], values[name], f"{prefix}{name}")


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls, include_extras=True)


def is_logarithmic(cls: type, name: str) -> bool:
    """Whether field ``name`` of ``cls`` is annotated as one whose values differ by factors."""
    return _is_logarithmic(_hints(cls)[name])


def _is_logarithmic(hint: Any) -> bool:
    if typing.get_origin(hint) is Annotated:
        return any(isinstance(one, Limits) and one.logarithmic for one in typing.get_args(hint)[1:])
    optional = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return optional and any(map(_is_logarithmic, typing.get_args(hint)))


def words_of(cls: type, name: str) -> Words | None:
    """Return the words that field ``name`` of ``cls`` is annotated to be one of, None if it is
    not."""
    notes = getattr(_hints(cls)[name], "__metadata__", ())
    return next((one for one in notes if isinstance(one, Words)), None)


def check_limit(hint: Any, value: Any, key: str) -> None:
    """Compare one value with the limits in its annotation, see :func:`check_limits`."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        for limits in arguments[1:]:
            if isinstance(limits, Limits | Words) and not limits.admit(value):
                raise UserError(f"{key}={quoted(value, str)} is not allowed: it must be {limits}.")
    elif origin in (typing.Union, types.UnionType) and value is not None:
        if isinstance(value, str) and str in arguments:
            return  # a word in the place of a number
        for part in arguments:
            check_limit(part, value, key)
    elif origin in (list, tuple) and isinstance(value, list | tuple):
        for place, item in enumerate(value):
            check_limit(arguments[0], item, f"{key}[{place}]")
    elif origin is dict and isinstance(value, Mapping):
        for name, item in value.items():
            check_limit(arguments[1], item, f"{key}.{name}")


def _number(bound: float) -> str:
    return f"{bound:,}" if isinstance(bound, int) else f"{bound:g}"
