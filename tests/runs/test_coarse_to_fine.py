"""ELEVATER's search on synthetic scores, against its rules written down a second time."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest

from hydra_peft.runs.coarse_to_fine import coarse_to_fine, first_round, most_trials

RATES = [10.0**e for e in range(-6, 0)]
DECAYS = [10 ** (-6 + i / 8) for i in range(97)]
Surface = Callable[[float, float], float | None]


def surface(seed: int) -> dict[tuple[float, float], float | None]:
    """Return scores in few steps, as of one image a class, so that many are equal; some fail."""
    numbers = random.Random(seed)
    peak, width = numbers.uniform(-8, 8), numbers.uniform(1, 8)
    best, steps = numbers.randrange(6), numbers.choice([4, 10, 1000])
    scores: dict[tuple[float, float], float | None] = {}
    for at, rate in enumerate(RATES):
        for decay in DECAYS:
            far = ((math.log10(decay) - peak) / width) ** 2 + ((at - best) / 3) ** 2
            noisy = math.exp(-far) + numbers.gauss(0, 0.1)
            failed = numbers.random() < 0.05
            scores[rate, decay] = None if failed else 100 * round(max(noisy, 0) * steps) / steps
    return scores


def plainly(scores: dict[tuple[float, float], float | None]) -> tuple[float, float] | None:
    """The toolkit's search as intended: a table of scores, looked up by index of the decay."""
    winner, top = None, None
    for rate in RATES:
        row = [scores[rate, decay] for decay in DECAYS]
        seen = [(i, row[i]) for i in (0, 16, 32, 48, 64, 80, 96) if row[i] is not None]
        if not seen:
            continue
        peak = max(seen, key=lambda pair: (pair[1], -pair[0]))[0]
        for span in (8, 4, 2, 1):
            neighbours = {max(peak - span, 0), min(peak + span, 96)} - {peak}
            for i in sorted(neighbours):  # the smaller one first
                if row[i] is not None and row[i] > row[peak]:  # type: ignore[operator]
                    peak = i
        if top is None or row[peak] > top:  # type: ignore[operator]
            winner, top = (rate, DECAYS[peak]), row[peak]
    return winner


def test_two_hundred_surfaces_give_what_the_toolkit_means_to_choose() -> None:
    chosen = set()
    for seed in range(200):
        scores, asked = surface(seed), []

        def score(rate: float, decay: float) -> float | None:
            asked.append((rate, decay))  # noqa: B023
            return scores[rate, decay]  # noqa: B023

        found = coarse_to_fine(RATES, DECAYS, score)
        assert found is not None
        assert (found.rate, found.decay) == plainly(scores)
        assert found.score == scores[found.rate, found.decay]
        assert len(asked) <= most_trials(6, 97) == 90
        chosen.add(found.decay)
    assert len(chosen) > 40  # fine ones among them


@pytest.mark.parametrize("released", [False, True])
def test_the_first_round_is_tried_whatever_the_scores(released: bool) -> None:
    certain = first_round(RATES, DECAYS)
    assert len(certain) == 6 * 7

    def tried_on(scores: dict[tuple[float, float], float | None]) -> set[tuple[float, float]]:
        tried = set()

        def score(*pair: float) -> float | None:
            tried.add(pair)
            return scores[pair]  # type: ignore[index]

        coarse_to_fine(RATES, DECAYS, score, released=released)
        return tried  # type: ignore[return-value]

    assert all(tried_on(surface(seed)) >= set(certain) for seed in range(20))


def test_ties_go_to_the_smaller_and_what_fails_is_no_score() -> None:
    flat = coarse_to_fine(RATES, DECAYS, lambda _rate, _decay: 0.0)
    assert flat == (RATES[0], DECAYS[0], 0.0)
    assert coarse_to_fine(RATES, DECAYS, lambda _rate, _decay: None) is None

    def only(rate: float, decay: float) -> float | None:
        return 5.0 if (rate, decay) == (RATES[2], DECAYS[64]) else None

    assert coarse_to_fine(RATES, DECAYS, only) == (RATES[2], DECAYS[64], 5.0)


def test_the_release_never_tries_the_larger_neighbour() -> None:
    def rising(_rate: float, decay: float) -> float:
        return 100 - abs(math.log10(decay) - 1.0) * 10  # best at index 56, right of 48

    intended = coarse_to_fine([1e-3], DECAYS, rising)
    released = coarse_to_fine([1e-3], DECAYS, rising, released=True)
    assert intended is not None
    assert released is not None
    assert intended.decay == pytest.approx(10.0)
    assert released.decay != intended.decay
    tried: list[float] = []
    coarse_to_fine([1e-3], DECAYS, lambda r, d: tried.append(d) or rising(r, d), released=True)
    # The peak stays at 48: each time its smaller neighbour twice.
    assert [round(8 * (6 + math.log10(d))) for d in tried[7:]] == [40, 40, 44, 44, 46, 46, 47, 47]


def test_the_release_records_a_decay_that_was_never_trained() -> None:
    """A rerun of the smaller neighbour that happens to score better counts for the larger one."""
    calls: dict[float, int] = {}

    def lucky(_rate: float, decay: float) -> float:
        calls[decay] = calls.get(decay, 0) + 1
        return 50.0 + (decay == DECAYS[48]) + 10 * (calls[decay] > 1 and decay == DECAYS[40])

    released = coarse_to_fine([1e-3], DECAYS, lucky, released=True)
    assert released is not None
    assert released.decay == DECAYS[56]
    assert DECAYS[56] not in calls
    assert calls[DECAYS[40]] == 2


def test_of_scores_of_zero_the_release_chooses_nothing_or_the_largest_decay() -> None:
    assert coarse_to_fine(RATES, DECAYS, lambda _rate, _decay: 0.0, released=True) is None
    calls: list[float] = []

    def late(_rate: float, decay: float) -> float:
        calls.append(decay)
        return 1.0 if len(calls) > 8 else 0.0  # the second trial of the first round

    found = coarse_to_fine([1e-3], DECAYS, late, released=True)
    assert found is not None
    assert (found.decay, set(calls[7:9])) == (DECAYS[7], {DECAYS[0]})
