"""Points with bars over a number of parameters, and the front that nothing is better than."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hydra_peft.figures._apart import STEP, moved, points, side_by_side
from hydra_peft.figures._style import GREY

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

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
            line), ``accuracy``, ``low``, ``high`` (NaN: no bar) and ``on_front``.
        looks: of each series.
        shifts: by how many points each line is moved to the right.
        logarithmic: whether ``x`` is.
    """
    handles: dict[str, Any] = {}
    for index, line in zip(lines.index, lines.to_dict("records"), strict=True):
        handles[line["name"]] = _draw(axes, line, shifts.get(index, 0.0), looks[line["series"]])
    front = lines[lines["on_front"] & (lines["x"] > 0)].sort_values("x")
    if len(front) > 1:
        style: dict[str, Any] = {"color": GREY, "linewidth": 1.0, "zorder": 1}
        (handles[FRONT],) = axes.plot(
            front["x"], front["accuracy"], drawstyle="steps-post", **style
        )
    axes.grid(axis="both")
    _scale(axes, [float(x) for x in lines["x"] if x > 0], logarithmic)
    ends = lines[["accuracy", "low", "high"]].stack()
    axes.set_ylim(_with_margins(float(ends.min()), float(ends.max()), _LEAST_HEIGHT))
    return handles


def shifts(lines: pd.DataFrame, *, logarithmic: bool) -> dict[Any, float]:
    """Return by how many points to move each of ``lines`` so that none hides another."""
    lines = lines[lines["x"] > 0]
    if lines.empty:
        return {}
    x = [math.log10(x) if logarithmic else float(x) for x in lines["x"]]
    ends = lines[["accuracy", "low", "high"]]
    up = points([*ends.min(axis=1), *ends.max(axis=1)], _HEIGHT)
    low, high = up[: len(lines)], up[len(lines) :]
    half = STEP / 2
    found = side_by_side(
        points(x, _WIDTH, _LEAST if logarithmic else 0.0),
        [y - half for y in low],
        [y + half for y in high],
    )
    return dict(zip(lines.index, found, strict=True))


def _draw(axes: Axes, line: Mapping[Any, Any], shift: float, look: Mapping[str, Any]) -> Any:
    height = line["accuracy"]
    if line["x"] <= 0:  # no place on a logarithmic axis
        return axes.axhline(height, color=look["color"], linestyle=":")
    bar = None if math.isnan(line["high"]) else [[height - line["low"]], [line["high"] - height]]
    style = {**look, "linestyle": "none", "zorder": 3, "transform": moved(axes, shift)}
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
