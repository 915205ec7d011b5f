"""Numbers as they are printed."""

from __future__ import annotations

import math

import pytest

from hydra_peft.plain_text import rounded


@pytest.mark.parametrize(
    ("value", "decimals", "text", "signed"),
    [
        (-0.004, 2, "0.00", "0.00"),
        (0.004, 2, "0.00", "0.00"),
        (-0.0, 1, "0.0", "0.0"),
        (-0.006, 2, "-0.01", "-0.01"),
        (0.25, 1, "0.2", "+0.2"),
        (-0.4, 0, "0", "0"),
        (-10.0, 0, "-10", "-10"),
        (100.0, 1, "100.0", "+100.0"),
        (math.nan, 2, "nan", "+nan"),
    ],
)
def test_zero_has_no_sign(value: float, decimals: int, text: str, signed: str) -> None:
    assert rounded(value, decimals) == text
    assert rounded(value, decimals, sign=True) == signed
