"""Numbers in text files: digits that computers print, not all that Python's ``int`` takes."""

from __future__ import annotations

import math

import pytest

from hydra_peft.finite import decimal_number, whole_number


def test_numbers_as_they_are_printed() -> None:
    assert [whole_number(text) for text in ("0", "007", "-12", "+3")] == [0, 7, -12, 3]
    values = (0.0, -1.5, 1e-300, 123456789.0, 3e22, math.inf, -math.inf)
    assert [decimal_number(str(value)) for value in values] == list(values)
    assert [decimal_number(text) for text in ("5.", ".5", "5.000", "1E3")] == [5, 0.5, 5, 1000]
    assert math.isnan(decimal_number("nan"))


@pytest.mark.parametrize(
    "text", ["", "0_1", "1_000.5", " 1", "1\n", "٣", "²", "0x1", "1,5", "9" * 5000, "-", "."]
)
def test_what_is_none(text: str) -> None:
    for read in (whole_number, decimal_number):
        with pytest.raises(ValueError, match=r"is no (whole )?number"):
            read(text)
    for text in ("1.0", "1e3", "inf", "nan"):
        with pytest.raises(ValueError, match="is no whole number"):
            whole_number(text)
