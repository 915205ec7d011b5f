"""Numbers as they are printed."""

from __future__ import annotations

import math

import pytest

from hydra_peft.plain_text import in_short, rounded


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


def test_a_long_sentence_keeps_its_begin_and_its_end() -> None:
    assert in_short("a\nsentence") == "a sentence"
    assert in_short("x" * 2000) == "x" * 2000
    cut = in_short("runs=" + "y\x1b" * 500_000 + " is not a folder: name one.")
    assert cut.startswith("runs=y\\x1by")
    assert cut.endswith("y\\x1b is not a folder: name one.")
    assert "... (998,032 characters) ..." in cut
    assert len(cut) < 6000
