"""Where lines, marks of single epochs and scores stand along the epochs of a learning curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

#: inches that a mark takes, and at least needs
_SLOT, _LEAST = 0.08, 0.07
#: share of a panel that marks take at most beside lines
_SHARE = 0.6
#: slots without a mark: at both ends, and on both sides of the edge between training and scores
_FREE = 3


@dataclass(frozen=True)
class Places:
    """Places in epochs.

    Attributes:
        points: where the mark of each row with a single epoch stands.
        edge: between training and scores.
        scores: where the score of each row stands, right of it.
        ends: of the axis.
    """

    points: Mapping[str, float]
    edge: float
    scores: Mapping[str, float]
    ends: tuple[float, float]


def inches_for(single: int, rows: int, *, lines: bool) -> float:
    """Return how wide a panel has to be that no mark of it hides another.

    Args:
        single: rows with a single epoch.
        rows: all rows.
        lines: whether the others, with lines, are among them.
    """
    slots = single + rows + _FREE
    return slots * _LEAST / (_SHARE if lines else 1.0)


def places(epochs: Mapping[str, Sequence[int]], rows: Sequence[str], width: float) -> Places:
    """Return where everything stands in a panel of so many inches.

    Marks of a single epoch stand side by side around it, and where there are lines left of it,
    which keep their own places.

    Args:
        epochs: those of each row with a curve, in order.
        rows: with a score, in order.
        width: of the panel in inches.
    """
    single = {name: own[0] for name, own in epochs.items() if len(own) == 1}
    all_epochs = [epoch for own in epochs.values() for epoch in own] or [1]
    first, last = min(all_epochs), max(all_epochs)
    slots = len(single) + len(rows) + _FREE
    step = 1.0
    if last > first:
        share = min(_SHARE, _SLOT * slots / width)
        step = (last - first) * share / (1 - share) / slots
    points: dict[str, float] = {}
    for epoch in set(single.values()):
        here = [name for name, own in single.items() if own == epoch]
        left = len(here) if len(single) < len(epochs) else (len(here) - 1) / 2
        points |= {name: epoch + (at - left) * step for at, name in enumerate(here)}
    end = max([last, *points.values()])
    scores = {name: end + (2 + at) * step for at, name in enumerate(rows)}
    ends = min([first, *points.values()]) - step, end + (2 + len(rows)) * step
    return Places(points, end + step, scores, ends)
