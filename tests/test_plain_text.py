"""Numbers and texts as they are printed."""

from __future__ import annotations

import math

import pytest

from hydra_peft.plain_text import counted, csv_text, few_of_each, in_short, rounded, shortened_apart


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


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("lora r=4", "lora r=4"),
        ("=1+1", "'=1+1"),
        ("  @SUM(A1)", "'  @SUM(A1)"),
        ("-1+cmd|' /C calc'!A0", "'-1+cmd|' /C calc'!A0"),
        ("=5", "'=5"),
        ("+1+1", "'+1+1"),
        ("\uff1d1+1", "'\uff1d1+1"),
        ("\uff0b1", "'\uff0b1"),
        ("-0.25", "-0.25"),
        ("+3e-07", "+3e-07"),
        ("-5", "-5"),
        ("a\nb", "a b"),
        ("\udcff.png", "\\udcff.png"),
    ],
)
def test_no_cell_of_csv_is_a_formula_but_numbers_stay(text: str, cell: str) -> None:
    assert csv_text(text) == cell


def test_a_count_has_its_noun_in_the_right_number() -> None:
    assert [counted(n, "run") for n in (0, 1, 1200)] == ["0 runs", "1 run", "1,200 runs"]
    assert [counted(n, "image is", "images are") for n in (1, 2)] == ["1 image is", "2 images are"]


def test_names_that_begin_alike_are_told_apart_where_they_are_shortened() -> None:
    names = ["lora r=4", *(f"hydra r=2+2 (tuned, method.targets=[{t}])" for t in ("proj", "fc2"))]
    assert shortened_apart(names, 24) == ["lora r=4", "hydra r=2+2…[proj])", "hydra r=2+2…[fc2])"]
    assert shortened_apart(["x" * 40, "x" * 39 + "y"], 8) == ["xxx…xxx", "xxx…xxy"]
    assert shortened_apart(["z" * 40] * 2, 8) == ["zzzzzzz…"] * 2


def test_a_long_sentence_keeps_its_begin_and_its_end() -> None:
    assert in_short("a\nsentence") == "a sentence"
    assert in_short("x" * 2000) == "x" * 2000
    cut = in_short("runs=" + "y\x1b" * 500_000 + " is not a folder: name one.")
    assert cut.startswith("runs=y\\x1by")
    assert cut.endswith("y\\x1b is not a folder: name one.")
    assert "... (998,032 characters) ..." in cut
    assert len(cut) < 6000


def test_of_sentences_that_begin_alike_some_are_enough() -> None:
    parts = [f"drawn in part: {number}." for number in range(5)]
    rest = ["no colon here", "left out: x.", "no other either"]
    assert few_of_each([*parts, *rest], 3) == [*parts[:3], "drawn in part: 2 more.", *rest]
    assert few_of_each(parts, 5) == parts
