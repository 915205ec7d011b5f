"""Numbers that came from a file: whether they are any, and can be computed with."""

from __future__ import annotations

import math
import re

#: the most digits of a number in a text file
_DIGITS = 400
_WHOLE = re.compile(rf"[+-]?[0-9]{{1,{_DIGITS}}}")
_FLOAT = re.compile(r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?|inf|nan)")


def whole_number(text: str) -> int:
    """Return the whole number that ``text`` is in decimal digits, with or without a sign.

    ``int`` takes more: ``0_1`` is 1 to it, as are digits of other scripts and spaces around.

    Raises:
        ValueError: it is none.
    """
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"{text[:_DIGITS]!r} is no whole number")
    return int(text)


def decimal_number(text: str) -> float:
    """Return the number that ``text`` is as computers print one; it may be infinite or NaN.

    Raises:
        ValueError: it is none.
    """
    if len(text) > _DIGITS or not _FLOAT.fullmatch(text):
        raise ValueError(f"{text[:_DIGITS]!r} is no number")
    return float(text)


def is_finite(value: object) -> bool:
    """Whether ``value`` is a number, no boolean, that a float can hold: no NaN, no infinity."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # json has whole numbers of any size
        return False
