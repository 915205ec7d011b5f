"""Numbers that came from a file: whether they can be computed with."""

from __future__ import annotations

import math


def is_finite(value: object) -> bool:
    """Whether ``value`` is a number, no boolean, that a float can hold: no NaN, no infinity."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # json has whole numbers of any size
        return False
