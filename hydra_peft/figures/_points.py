"""Points with bars, side by side where they would hide each other, and their Pareto front."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hydra_peft.figures._style import GREY

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

#: points from the middle of a mark to that of its neighbour
STEP = 5.5
#: points that a mark is moved at most
FARTHEST = 2 * STEP
#: what a caption says of that
SIDE_BY_SIDE = (
    "Points that would hide each other stand side by side, at most two marks' widths from their "
    "place, the closer the more there are; fine lines lead there, and the numbers say where."
)
#: name of the front in a legend
FRONT = "Pareto front"
#: share of an axis left free at its ends, and inches that points take between them, about
_MARGIN, _WIDTH, _HEIGHT = 0.12, 2.2, 1.2
#: powers of ten, and percent points, that the axes show at least
_LEAST, _LEAST_HEIGHT = 0.3, 0.2


def draw_points(
    axes: Axes,
    lines: pd.DataFrame,
    looks: Mapping[str, Mapping[str, Any]],
    shifts: Mapping[Any, float],
    *,
    logarithmic: bool,
) -> dict[str, Any]:
    """Draw each of ``lines`` and their front; return what a legend shows, by name.

    Args:
        axes: where to.
        lines: columns ``name`` (in the legend), ``series``, ``x`` (not above zero: a horizontal
            line), ``score``, ``low``, ``high`` (NaN: no bar) and ``on_front``.
        looks: of each series.
        shifts: by how many points each line is moved to the right.
        logarithmic: whether ``x`` is.
    """
    handles: dict[str, Any] = {}
    for index, line in zip(lines.index, lines.to_dict("records"), strict=True):
        handles[line["name"]] = _draw(axes, line, shifts.get(index, 0.0), looks[line["series"]])
    front = lines[lines["on_front"] & (lines["x"] > 0)].sort_values("x")
    if is_line(front):
        style: dict[str, Any] = {"color": GREY, "linewidth": 1.0, "zorder": 1}
        (handles[FRONT],) = axes.plot(front["x"], front["score"], drawstyle="steps-post", **style)
    axes.grid(axis="both")
    _scale(axes, [float(x) for x in lines["x"] if x > 0], logarithmic)
    ends = lines[["score", "low", "high"]].stack()
    low, high = float(ends.min()), float(ends.max())
    # Of scores near zero, which are not in percent, so much would be all.
    least = min(_LEAST_HEIGHT, max(abs(low), abs(high)) or 1.0)
    axes.set_ylim(_with_margins(low, high, least))
    return handles


def is_line(front: pd.DataFrame) -> bool:
    """Return whether points, with columns ``x`` and ``score``, lie in more than one place."""
    return len(front[["x", "score"]].drop_duplicates()) > 1


def shifts(lines: pd.DataFrame, *, logarithmic: bool) -> dict[Any, float]:
    """Return by how many points to move each of ``lines`` to the right, so that none hides another.

    Args:
        lines: as of :func:`draw_points`.
        logarithmic: whether ``x`` is.
    """
    lines = lines[lines["x"] > 0]
    if lines.empty:
        return {}
    x = [math.log10(x) if logarithmic else float(x) for x in lines["x"]]
    ends = lines[["score", "low", "high"]]
    up = points([*ends.min(axis=1), *ends.max(axis=1)], _HEIGHT)
    low, high = up[: len(lines)], up[len(lines) :]
    half = STEP / 2
    across = points(x, _WIDTH, _LEAST if logarithmic else 0.0)
    below, above = [y - half for y in low], [y + half for y in high]
    moves = side_by_side(across, below, above)
    for group in _at_rises(lines, _groups(across, below, above, STEP)):
        other = _right_of_front(group, moves, on_front=lines["on_front"].iloc[group[0]])
        places = [place + move for place, move in zip(across, other, strict=True)]
        beside = [at for at in range(len(x)) if at not in group]
        if not any(_hide(one, two, places, below, above) for one in group for two in beside):
            moves = other
    return dict(zip(lines.index, moves, strict=True))


def _at_rises(lines: pd.DataFrame, groups: Sequence[Sequence[int]]) -> list[list[int]]:
    """Return the numbers of lines that are of one place and one of ``groups``, where a front of
    several rises there to or past one of them; first one on it, if there is one."""
    front = lines[lines["on_front"]].drop_duplicates("x").sort_values("x")
    if not is_line(front):
        return []
    found = []
    x, score, on_front = (lines[name].tolist() for name in ("x", "score", "on_front"))
    starts = [math.nan, *front["score"].iloc[:-1]]  # of the first there is no line left of it
    for place, start, end in zip(front["x"], starts, front["score"], strict=True):
        for group in groups:
            own = [at for at in group if x[at] == place]
            own.sort(key=lambda at: (not on_front[at], at))
            below = all((score[at] - start) * (end - start) <= 0 for at in own)
            found += [own] if len(own) > 1 and not below else []
    return found


def _right_of_front(group: Sequence[int], moves: Sequence[float], *, on_front: bool) -> list[float]:
    """Return ``moves`` with those of ``group`` in another order: its first, if on the front, stays
    where that rises, and the others stand right of it. Left of it they would seem to lie above.

    Where they have no room there, all stay around their place, the first in the middle.
    """
    columns = sorted({moves[at] for at in group})
    front = moves[group[0]] if on_front else columns[0]
    if (len(columns) - 1) * STEP <= FARTHEST:
        order = [front, *(column for column in columns if column != front)]
        turned = {column: number * STEP for number, column in enumerate(order)}
    else:
        middle = min(columns, key=abs)
        turned = {front: middle, middle: front} if on_front else {}
    own = {at: turned.get(moves[at], moves[at]) for at in group}
    return [own.get(at, move) for at, move in enumerate(moves)]


def _hide(
    one: int,
    two: int,
    places: Sequence[float],
    below: Sequence[float],
    above: Sequence[float],
) -> bool:
    """Whether two marks with their bars touch each other."""
    near = abs(places[one] - places[two]) < 0.99 * STEP
    return near and below[one] < above[two] and below[two] < above[one]


def _draw(axes: Axes, line: Mapping[Any, Any], shift: float, look: Mapping[str, Any]) -> Any:
    height = line["score"]
    if line["x"] <= 0:  # no place on a logarithmic axis
        return axes.axhline(height, color=look["color"], linestyle=":")
    bar = None if math.isnan(line["high"]) else [[height - line["low"]], [line["high"] - height]]
    style = {**look, "linestyle": "none", "zorder": 3, "transform": moved(axes, shift)}
    lead_back(axes, line["x"], height, shift)
    return axes.errorbar(line["x"], height, yerr=bar, capsize=2, elinewidth=0.8, **style)


def _with_margins(low: float, high: float, least: float) -> tuple[float, float]:
    """Return the ends of an axis from ``low`` to ``high``, wide as ``least`` if these are near."""
    half = max(high - low, least) * (0.5 + _MARGIN)
    return (low + high) / 2 - half, (low + high) / 2 + half


def _scale(axes: Axes, x: list[float], logarithmic: bool) -> None:
    """Give ``axes`` a scale that shows ``x`` with margins, and some five numbers on it."""
    from matplotlib.ticker import EngFormatter, Locator, LogLocator, MaxNLocator, NullFormatter

    locator: Locator = MaxNLocator(5)
    if logarithmic:
        axes.set_xscale("log")
        low, high = math.log10(min(x)), math.log10(max(x))
        axes.set_xlim(*(10**end for end in _with_margins(low, high, _LEAST)))
        if high - low > math.log10(3):
            locator = LogLocator(subs=(1, 2, 5) if high - low < 2 else (1,))
    else:
        axes.set_xlim(_with_margins(min(x), max(x), 1.0))
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.xaxis.set_minor_formatter(NullFormatter())


def points(values: Sequence[float], inches: float, span: float = 0.0) -> list[float]:
    """Map ``values`` to positions on an axis of that many inches, in points from its lowest.

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

    Marks that touch no other stay where they are, the others move as little as possible: those of
    one place stand around it, in columns. Of more than have room within :data:`FARTHEST` one covers
    a part of another; of those of one place such as lie furthest from each other.

    Args:
        x: where the marks are, in points.
        low, high: from where to where each reaches with its bar, in points.
        step: width of a mark in points.
    """
    from sklearn.isotonic import isotonic_regression

    right = [0.0] * len(x)
    for group in _groups(x, low, high, step):
        if x[group[0]] == x[group[-1]]:
            # Of one place, such as a sweep of learning rates: in as few columns as it takes.
            columns = _columns(group, low, high)
            middle = max(columns.values()) / 2
            if middle * step > FARTHEST:
                columns = _in_turn(columns, low, high, round(2 * FARTHEST / step))
            moves = [(columns[at] - middle) * step for at in group]
        else:
            free = isotonic_regression([x[at] - number * step for number, at in enumerate(group)])
            moves = [free[n] + n * step - x[at] for n, at in enumerate(group)]
        shrink = min(1.0, FARTHEST / max(*map(abs, moves), step))
        for at, move in zip(group, moves, strict=True):
            right[at] = move * shrink
    return right


def _in_turn(
    columns: Mapping[int, int], low: Sequence[float], high: Sequence[float], turn: int
) -> dict[int, int]:
    """Return ``columns`` in another order: so many marks that follow each other in height are
    apart."""
    heights = {column: low[at] + high[at] for at, column in columns.items()}
    rising = sorted(heights, key=heights.__getitem__)
    order = [column for first in range(turn) for column in rising[first::turn]]
    return {at: order.index(column) for at, column in columns.items()}


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


def _columns(group: Sequence[int], low: Sequence[float], high: Sequence[float]) -> dict[int, int]:
    """Return a column for each mark of ``group``, the fewest in which none touches another."""
    found: dict[int, int] = {}
    tops: list[float] = []
    for at in sorted(group, key=lambda at: (low[at], at)):
        free = [column for column, top in enumerate(tops) if top <= low[at]]
        column = free[0] if free else len(tops)
        tops[column : column + 1] = [high[at]]
        found[at] = column
    return found


def moved(axes: Axes, right: float) -> Any:
    """Return the transform of ``axes`` that puts data ``right`` points to the right."""
    from matplotlib.transforms import ScaledTranslation

    return axes.transData + ScaledTranslation(right / 72, 0.0, axes.figure.dpi_scale_trans)


def lead_back(axes: Axes, x: float, y: float, right: float) -> None:
    """Draw a fine line from a mark, moved ``right`` by so many points, to a tick at its place."""
    from matplotlib.lines import Line2D
    from matplotlib.transforms import Affine2D, ScaledTranslation

    if not right:
        return
    data: Any = axes.transData  # a logarithmic axis is taken, too, if not by the type
    place = ScaledTranslation(x, y, data)
    there = Affine2D().scale(1 / 72) + axes.figure.dpi_scale_trans + place
    style: dict[str, Any] = {"color": GREY, "linewidth": 0.5, "zorder": 1.5, "clip_on": False}
    tick: dict[str, Any] = {"marker": "|", "markevery": [0], "markersize": 3.5, "mew": 0.5}
    # Not by plot, which would take points for data to make room for.
    axes.add_artist(Line2D([0.0, right], [0.0, 0.0], transform=there, **style, **tick))
