"""Confidence intervals of means and medians, and the sign test."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """A mean with its 95% interval, NaN for fewer than two values."""

    mean: float
    low: float
    high: float
    count: int


def t_half_width(std: float, count: int) -> float:
    """Return half of the 95% interval of a mean of two or more values, from their deviation."""
    from scipy.special import stdtrit  # scipy.stats has the same and takes a second to load

    return float(stdtrit(count - 1, 0.975)) * std / math.sqrt(count)


def bounded_interval(
    mean: float, std: float, count: int, least: float, most: float
) -> tuple[float, float]:
    """Return the 95% interval of a mean of values between ``least`` and ``most``, inside of both.

    It is Wilson's score interval (JASA 22, 1927) with Student's t in the place of the normal
    quantile and the effective sample size that the deviation between the values gives, as
    statistics of surveys have it (Korn and Graubard, Survey Methodology 24, 1998). Where the mean
    is far from both bounds it is close to Student's; it never reaches beyond them. Where one of
    them is infinite it is Student's, cut at the other.

    Args:
        mean: of two or more values, each the result of one run.
        std: their sample standard deviation, in the same unit.
        count: how many values there are.
        least, most: the lowest and the highest value that there can be, such as -100 and 100 for
            a correlation in percent.
    """
    if math.isinf(most) or math.isinf(least):
        reach = t_half_width(std, count)
        return max(least, mean - reach), min(most, mean + reach)
    width = most - least
    share = (mean - least) / width
    spread = share * (1.0 - share)
    if spread <= 0.0:  # then all values are 0, or all the highest
        return mean, mean
    # Student's quantile, squared, by the effective sample size.
    ratio = (t_half_width(std, count) / width) ** 2 / spread
    half = math.sqrt(ratio * spread + ratio * ratio / 4)
    low, high = ((share + ratio / 2 + sign * half) / (1 + ratio) for sign in (-1, 1))
    return least + width * max(0.0, low), least + width * min(1.0, high)


def median_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Return two of ``values`` between which the median of their distribution lies, at 95% or more.

    Order statistics with binomial ranks, whatever the distribution (David and Nagaraja, Order
    Statistics, 3rd edition, section 7.1). None for fewer than six values, which give no such two.
    """
    from scipy.special import bdtr

    ordered, count = sorted(values), len(values)
    # The values below place k lie all on one side of the median with probability 2 P(X <= k).
    places = [k for k in range(count // 2) if 2 * bdtr(k, count, 0.5) <= 0.05]
    return (ordered[places[-1]], ordered[-1 - places[-1]]) if places else None


def t_interval(
    values: Sequence[float], least: float = -math.inf, most: float = math.inf
) -> Interval:
    """Return mean and 95% interval of ``values``, independent draws of something near normal.

    Args:
        values: each between ``least`` and ``most``, as then is the interval.
        least, most: see :func:`bounded_interval`.
    """
    count = len(values)
    mean = math.fsum(values) / count if count else math.nan
    if count < 2:
        return Interval(mean, math.nan, math.nan, count)
    squares = math.fsum((value - mean) ** 2 for value in values) / (count - 1)
    return Interval(mean, *bounded_interval(mean, math.sqrt(squares), count, least, most), count)


@dataclass(frozen=True)
class Sign:
    """Of ``count`` differences that are not zero, ``positive`` are above it.

    Attributes:
        p: two-sided, of the exact sign test: that chance gives as uneven a split or a more uneven
            one; 1 without any difference.
    """

    positive: int
    count: int
    p: float


def sign_test(differences: Sequence[float]) -> Sign:
    """Return the exact two-sided sign test of ``differences``; zeros are left out."""
    from scipy import stats

    signs = [value > 0 for value in differences if value != 0 and not math.isnan(value)]
    if not signs:
        return Sign(0, 0, 1.0)
    p = float(stats.binomtest(sum(signs), len(signs), 0.5).pvalue)
    return Sign(sum(signs), len(signs), p)
