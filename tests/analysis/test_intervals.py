"""Intervals and signs against cases worked by hand."""

from __future__ import annotations

import math

import pytest

from hydra_peft.analysis.intervals import Sign, median_interval, sign_test, t_interval


def test_interval_by_hand() -> None:
    # mean 2, standard deviation 1, t(0.975, 2) = 4.302653 (any printed table of Student's t)
    found = t_interval([1.0, 2.0, 3.0])
    half = 4.302653 / math.sqrt(3)
    assert (found.mean, found.count) == (2.0, 3)
    assert found.low == pytest.approx(2 - half, abs=1e-5)
    assert found.high == pytest.approx(2 + half, abs=1e-5)


def test_one_value_has_no_interval() -> None:
    found = t_interval([5.0])
    assert found.mean == 5.0
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert math.isnan(t_interval([]).mean)


def test_sign_by_hand() -> None:
    # 5 heads of 5: 2 / 2^5; 4 of 5: 2 (1 + 5) / 2^5
    assert sign_test([1, 2, 3, 4, 5]) == Sign(5, 5, pytest.approx(2 / 32))
    assert sign_test([1, 2, 3, 4, -5, 0, math.nan]) == Sign(4, 5, pytest.approx(12 / 32))
    assert sign_test([0.0]) == Sign(0, 0, 1.0)


@pytest.mark.parametrize(("count", "place"), [(6, 1), (8, 1), (9, 2), (12, 3), (17, 5), (20, 6)])
def test_interval_of_a_median_is_between_the_order_statistics_of_printed_tables(
    count: int, place: int
) -> None:
    # Ranks of the 95% interval of a median, as printed in tables of the sign test.
    values = [float((7 * i) % count) for i in range(count)]  # 0 to count - 1 in another order
    assert median_interval(values) == (place - 1, count - place)


def test_fewer_than_six_values_have_no_interval_of_their_median() -> None:
    # Of five, all lie on one side of it with probability 2 / 2^5 = 6.25%.
    assert median_interval([1.0, 2.0, 3.0, 4.0, 5.0]) is None
    assert median_interval([]) is None
