"""Draw side by side the marks that would hide each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: points from the middle of a mark to that of its neighbour
STEP = 5.5


def points(values: Sequence[float], inches: float, span: float = 0.0) -> list[float]:
    """Return where ``values`` lie on an axis of that many inches, in points from its lowest.

    Args:
        values: as the axis is scaled, so logarithms for a logarithmic one.
        inches: length of the part of the axis that they take.
        span: what the axis shows at least.
    """
    low = min(values)
    span = max(max(values) - low, span)
    return [72 * inches * (value - low) / span if span else 0.0 for value in values]


def side_by_side(
    x: Sequence[float], low: Sequence[float], high: Sequence[float], step: float = STEP
) -> list[float]:
    """Return by how many points to move each mark to the right, so that none hides another.

    Marks that touch no other stay where they are, the others move as little as possible.

    Args:
        x: where the marks are, in points.
        low, high: from where to where each reaches with its bar, in points.
        step: width of a mark in points.
    """
    right = [0.0] * len(x)
    for group in _groups(x, low, high, step):
        free = _rising([x[at] - number * step for number, at in enumerate(group)])
        for number, at in enumerate(group):
            right[at] = free[number] + number * step - x[at]
    return right


def _rising(values: Sequence[float]) -> list[float]:
    """Return what is nearest to ``values`` and never falls: means of blocks that are pooled.

    This is isotonic regression, by pooling adjacent violators (Ayer et al., 1955).
    """
    blocks: list[tuple[float, int]] = []
    for value in values:
        mean, count = value, 1
        while blocks and blocks[-1][0] > mean:
            before, of = blocks.pop()
            mean, count = (before * of + mean * count) / (of + count), of + count
        blocks.append((mean, count))
    return [mean for mean, count in blocks for _ in range(count)]


def _groups(
    x: Sequence[float], low: Sequence[float], high: Sequence[float], step: float
) -> list[list[int]]:
    """Return groups of marks that touch each other, from left to right."""
    groups: list[list[int]] = []
    for at in sorted(range(len(x)), key=lambda at: (x[at], at)):
        touched = [
            group
            for group in groups
            if any(
                x[at] - x[other] < step and low[at] < high[other] and low[other] < high[at]
                for other in group
            )
        ]
        groups = [group for group in groups if group not in touched]
        groups.append(sorted([at, *(i for group in touched for i in group)], key=x.__getitem__))
    return groups


def moved(axes: Axes, right: float) -> Any:
    """Return the transform of ``axes`` that puts data ``right`` points to the right."""
    from matplotlib.transforms import ScaledTranslation

    return axes.transData + ScaledTranslation(right / 72, 0.0, axes.figure.dpi_scale_trans)
