"""The PE score against the paper's own and numbers worked out by hand."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from vtab1k_records import PAPER_TABLES

from hydra_peft.tables.deviations import deviations, fixed
from hydra_peft.tables.pe_score import pe_factor, pe_score
from hydra_peft.tables.published import Number, PublishedRow, read_published

PAPER = Path(__file__).resolve().parents[2] / "results" / "paper"


def test_by_hand() -> None:
    assert pe_score(50.0, 0) == 0.5
    # log10(9e8 / 1e8 + 1) = 1
    assert pe_score(100.0, 9e8) == pytest.approx(1 / math.e)
    assert pe_factor(99e8) == pytest.approx(math.exp(-2))
    with pytest.raises(ValueError, match="no number of parameters"):
        pe_factor(-1)


def test_every_printed_score_follows_from_average_and_parameters() -> None:
    for row in read_published(PAPER / "table1_elevater.csv").rows:
        average, parameters = row.numbers["avg_acc"], row.numbers["params_m"]
        assert fixed(pe_score(average.value, 1e6 * parameters.value), 3) == row.numbers["pe"].text
        assert not any("PE" in text for text in deviations(row, row.label, PAPER_TABLES[1]))


def test_a_score_that_does_not_follow_is_named() -> None:
    row = next(iter(read_published(PAPER / "table1_elevater.csv").rows))
    odd = PublishedRow(row.label, {**row.numbers, "pe": Number("0.510", 0.510)})
    (text,) = deviations(odd, "Full tuning (paper)", PAPER_TABLES[1])
    assert text == (
        "the PE score of Full tuning (paper) is printed as 0.510, its average and parameters give "
        "0.498."
    )
