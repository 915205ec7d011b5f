"""Intervals of means and of differences, against scipy and the equations that define them."""

from __future__ import annotations

import math
import random
import statistics

import pytest
from scipy import optimize, stats

from hydra_peft.tables.summaries import Summary, summarize, summarize_differences

#: near both bounds and far from them, with two seeds and with many
SEEDS = [
    [98.0, 99.6],
    [99.9, 100.0, 99.7],
    [0.0, 0.0, 0.4],
    [70.0, 72.0],
    [55.0, 54.0, 56.5, 55.1, 54.9],
    [50.0 + math.sin(i) for i in range(20)],
    [0.0, 100.0],
]


def score(values: list[float], bound: float) -> float:
    """Wilson's equation in float64: how far ``bound`` is from the mean, less what is allowed.

    The allowed distance is Student's quantile times the standard error that there would be if the
    true mean were ``bound`` and the variance in proportion to p(1 - p).
    """
    mean = statistics.fmean(values) / 100
    error = statistics.stdev(values) / 100 / math.sqrt(len(values))
    quantile = stats.t.ppf(0.975, len(values) - 1)
    wide = error * math.sqrt(bound * (1 - bound) / (mean * (1 - mean)))
    return abs(bound - mean) - quantile * wide


@pytest.mark.parametrize("values", SEEDS)
def test_interval_of_a_mean_solves_wilsons_equation_inside_of_the_bounds(
    values: list[float],
) -> None:
    low, high = summarize(values).interval
    mean = statistics.fmean(values)
    assert 0.0 <= low < mean < high <= 100.0
    for end, (a, b) in ((low, (0.0, mean / 100)), (high, (mean / 100, 1.0))):
        # Close to the mean nothing is far enough, at the bound everything is.
        root = optimize.brentq(lambda bound: score(values, bound), a, b, xtol=1e-14)
        assert end == pytest.approx(100 * root, abs=1e-7)


def test_interval_is_nearly_students_far_from_the_bounds() -> None:
    draw = random.Random(0)
    values = [draw.gauss(60.0, 0.8) for _ in range(10)]
    low, high = stats.t.interval(
        0.95, 9, loc=statistics.fmean(values), scale=stats.sem(values, ddof=1)
    )
    assert summarize(values).interval == pytest.approx((low, high), abs=0.02)


def test_students_own_interval_would_leave_the_bounds() -> None:
    values = [98.9, 99.8, 99.9]
    assert stats.t.interval(0.95, 2, loc=statistics.fmean(values), scale=stats.sem(values))[1] > 100
    assert summarize(values).interval[1] < 100


def test_equal_seeds_have_a_point_and_one_seed_has_no_interval() -> None:
    for value in (0.0, 100.0, 50.0):
        assert summarize([value, value]).interval == (value, value)
    assert summarize([70.0]).interval is None
    assert summarize_differences([1.0]).interval is None


def test_interval_of_a_scaled_summary_is_scaled() -> None:
    found = summarize([98.0, 99.6, 98.8])
    scaled = found.scaled(0.007)
    assert isinstance(scaled, Summary)
    assert scaled.interval == pytest.approx([0.007 * end for end in found.interval])


def test_interval_of_a_difference_is_that_of_a_paired_t_test() -> None:
    first, second = [90.0, 91.0, 92.5, 90.2], [88.0, 90.5, 90.0, 89.9]
    found = summarize_differences(a - b for a, b in zip(first, second, strict=True))
    truth = stats.ttest_rel(first, second).confidence_interval(0.95)
    assert found.interval == pytest.approx((truth.low, truth.high), abs=1e-9)
    assert found.value == pytest.approx(statistics.fmean(first) - statistics.fmean(second))


def test_interval_of_a_difference_ends_at_what_can_be() -> None:
    low, high = summarize_differences([80.0, 84.0]).interval
    assert (low, high) == (pytest.approx(82 - 12.7062 * 2, abs=1e-3), 100.0)
    assert summarize_differences([60.0, -70.0]).interval == (-100.0, 100.0)


def test_median_has_its_own_interval_and_scales() -> None:
    values = [60.0, 61.0, 62.0, 90.0, 63.0, 64.0]
    found = summarize(values, over_seeds="median")
    assert (found.value, found.std, found.count) == (62.5, statistics.stdev(values), 6)
    assert found.interval == (60.0, 90.0)
    half = found.scaled(0.5)
    assert (half.value, half.interval, half.most) == (31.25, (30.0, 45.0), 50.0)
    assert half.std == pytest.approx(found.std / 2)
    assert summarize(values[:5], over_seeds="median").interval is None
    assert summarize([5.0], over_seeds="median").std is None
