"""Wilcoxon's signed-rank test, which asks whether paired differences lie around zero."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

#: smaller differences are zero: means over seeds carry rounding errors of that size
TOLERANCE = 1e-9
#: pairs up to which all signs are tried where ranks are tied: 2^13 of them take no time
_TRIED = 13
#: pairs up to which scipy counts exactly where none are
_COUNTED = 50
LEVEL = 0.05


@dataclass(frozen=True)
class SignedRank:
    """Result of the signed-rank test.

    Attributes:
        pairs: differences that are not zero; zeros are left out, as Wilcoxon does.
        statistic: the smaller of the two sums of ranks; None without any pair.
        p: two-sided; None without any pair.
        method: how p was found: ``exact``, ``exact, ties``, ``normal approximation`` or ``none``.
    """

    pairs: int
    statistic: float | None
    p: float | None
    method: str

    @property
    def lowest_p(self) -> float:
        """The lowest p that so many pairs can give at all."""
        return min(1.0, 2.0 ** (1 - self.pairs))

    @property
    def too_small(self) -> bool:
        """Whether no outcome could have been significant at 5%."""
        return self.lowest_p > LEVEL


def signed_rank(differences: Sequence[float]) -> SignedRank:
    """Test two-sided whether ``differences`` lie around zero (Wilcoxon 1945, by scipy)."""
    from scipy.stats import permutation_test, rankdata, wilcoxon

    rounded = [0.0 if abs(d) < TOLERANCE else round(d, 9) for d in differences]
    values = [d for d in rounded if d]
    count = len(values)
    if not count:
        return SignedRank(0, None, None, "none")
    tied = len({abs(d) for d in values}) < count
    if not tied and count <= _COUNTED:
        found = wilcoxon(values, method="exact")
        return SignedRank(count, float(found.statistic), float(found.pvalue), "exact")
    if count <= _TRIED:
        # Ranks do not change with signs, so they can carry them.
        ranks = [
            math.copysign(r, d)
            for r, d in zip(rankdata(list(map(abs, values))), values, strict=True)
        ]
        found = permutation_test(
            (ranks,), _positive, permutation_type="samples", n_resamples=2**count
        )
        smaller = min(found.statistic, count * (count + 1) / 2 - found.statistic)
        return SignedRank(count, float(smaller), float(found.pvalue), "exact, ties")
    found = wilcoxon(values, correction=True, method="approx")
    return SignedRank(count, float(found.statistic), float(found.pvalue), "normal approximation")


def _positive(ranks: Any, axis: int) -> Any:
    """Return the sum of the positive ``ranks``."""
    return ranks.clip(min=0.0).sum(axis=axis)
