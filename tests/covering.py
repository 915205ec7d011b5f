"""Selection of the quick tests from whole products, such as all methods on all backbones."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest


def pairs(first: Collection[str], second: Collection[str]) -> list[Any]:
    """Return all pairs as parameters of a test; of these, a covering selection is quick.

    It has each of both at least once: the two are gone through side by side, and the shorter one
    again from its start, until the longer one ends. Any other pair is tried in the long tests.
    """
    longest = range(max(len(first), len(second)))
    one, other = list(first), list(second)
    quick = {(one[i % len(one)], other[i % len(other)]) for i in longest}
    return [
        pytest.param(a, b, marks=[pytest.mark.long] * ((a, b) not in quick))
        for a in first
        for b in second
    ]
