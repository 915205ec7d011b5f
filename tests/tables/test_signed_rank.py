"""The signed-rank test against its definition: all signs tried, and a table of 1945's test."""

from __future__ import annotations

import itertools

import pytest
from scipy.stats import rankdata

from hydra_peft.tables.signed_rank import signed_rank


def by_definition(differences: list[float]) -> float:
    """Return the two-sided p of the sum of positive ranks, by trying all signs."""
    ranks = rankdata([abs(d) for d in differences])
    sums = [
        sum(rank for rank, sign in zip(ranks, signs, strict=True) if sign)
        for signs in itertools.product((False, True), repeat=len(ranks))
    ]
    found = sum(rank for rank, d in zip(ranks, differences, strict=True) if d > 0)
    low = sum(s <= found + 1e-9 for s in sums) / len(sums)
    high = sum(s >= found - 1e-9 for s in sums) / len(sums)
    return min(1.0, 2 * min(low, high))


@pytest.mark.parametrize(
    ("differences", "method"),
    [
        ([1, 2, 3, -4, 5, 6], "exact"),
        ([0.3, -0.1, 0.7, 1.9, -0.2, 0.5, 0.8, 2.5], "exact"),
        ([1, 1, 2, -3, 0.5, -0.5, 4], "exact, ties"),
        ([-1, -1, -1, -1, -1, -1, 1], "exact, ties"),
    ],
)
def test_p_is_that_of_trying_all_signs(differences: list[float], method: str) -> None:
    found = signed_rank(differences)
    assert found.p == pytest.approx(by_definition(differences))
    assert (found.pairs, found.method) == (len(differences), method)


def test_statistic_is_the_smaller_sum_of_ranks() -> None:
    assert signed_rank([1, 2, 3, -4, 5, 6]).statistic == 4
    assert signed_rank([-1, 1, 2]).statistic == 1.5  # the two ones share ranks 1 and 2


def test_zeros_and_rounding_errors_are_no_differences() -> None:
    found = signed_rank([0.0, 1e-14, 1, 2, 3.0000000000001, -4, 5, 6, -1e-12])
    assert found == signed_rank([1, 2, 3, -4, 5, 6])
    nothing = signed_rank([0.0, 1e-15])
    assert (nothing.pairs, nothing.statistic, nothing.p, nothing.method) == (0, None, None, "none")


def test_too_few_pairs_are_said_to_be_too_few() -> None:
    five, six = signed_rank([1, 2, 3, 4, 5]), signed_rank([1, 2, 3, 4, 5, 6])
    assert (five.lowest_p, five.p, five.too_small) == (0.0625, 0.0625, True)
    assert (six.lowest_p, six.p, six.too_small) == (0.03125, 0.03125, False)


def test_many_tied_pairs_are_approximated_and_say_so() -> None:
    found = signed_rank([1.0] * 15 + [-1.0] * 5)
    assert found.method == "normal approximation"
    # 20 ranks of 10.5: mean 105, variance 20 * 10.5^2 / 4; 52.5 with half a unit of continuity.
    assert found.p == pytest.approx(0.0265, abs=0.0005)
