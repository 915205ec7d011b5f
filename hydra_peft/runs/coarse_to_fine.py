"""ELEVATER's search: for each learning rate the weight decay, from coarse to fine.

Its toolkit (Computer-Vision-in-the-Wild/Elevater_Toolkit_IC, ``full_model_finetune.py``) tries
seven of 97 weight decays, then neighbours of the best in spans of 8, 4, 2 and 1. The copy that
Hydra was searched with (extremebird/Hydra, ``Hydra_clip.py``) has slips; ``released`` has them too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

#: the first round tries every 16th of the decays
STRIDE = 16
SPANS = (8, 4, 2, 1)

#: does a trial with a learning rate and a weight decay; the higher the better, None where it failed
Score = Callable[[float, float], float | None]


class Best(NamedTuple):
    """Learning rate and weight decay that a search chose, with the score that it chose them by."""

    rate: float
    decay: float
    score: float


def most_trials(rates: int, decays: int) -> int:
    """Return how many trials a search over so many values does at most."""
    return rates * (-(-decays // STRIDE) + 2 * len(SPANS))


def first_round(rates: Sequence[float], decays: Sequence[float]) -> list[tuple[float, float]]:
    """Return the learning rates and weight decays that are tried whatever the scores are."""
    return [(rate, decay) for rate in rates for decay in decays[::STRIDE]]


def coarse_to_fine(
    rates: Sequence[float], decays: Sequence[float], score: Score, *, released: bool = False
) -> Best | None:
    """Search ``decays`` for each of ``rates``; the best of all is chosen, the earlier one on ties.

    Both neighbours of a round are those of the peak that the round began with; the peak moves
    whenever a score is strictly better.

    Args:
        rates, decays: ascending, so that ties go to the smaller.
        score: see :data:`Score`; the same values may be asked for twice.
        released: both trials of a round have the smaller neighbour's decay, and the second counts
            for the larger; a failure scores 0, and where nothing scores more, the largest decay
            is taken.

    Returns:
        What was chosen; None where every trial failed (``released``: or scored 0).
    """
    chosen: Best | None = None
    for rate in rates:
        found = _over_decays(rate, decays, score, released)
        worst = Best(0.0, 0.0, 0.0) if released else None
        than = chosen or worst
        if found is not None and (than is None or found.score > than.score):
            chosen = found
    return chosen


def _over_decays(rate: float, decays: Sequence[float], score: Score, released: bool) -> Best | None:
    peak, best = -1, 0.0 if released else -math.inf
    for index in range(0, len(decays), STRIDE):
        reached = score(rate, decays[index])
        if reached is not None and reached > best:
            peak, best = index, reached
    if peak < 0 and not released:
        return None
    for span in SPANS:
        left, right = max(peak - span, 0), min(peak + span, len(decays) - 1)
        for index in [neighbour for neighbour in (left, right) if neighbour != peak]:
            reached = score(rate, decays[left if released else index])
            if reached is not None and reached > best:
                peak, best = index, reached
    return Best(rate, decays[peak], best)
