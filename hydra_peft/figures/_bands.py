"""Lines with bands over seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hydra_peft.errors import check_one_of

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

#: what a band is, in words
BANDS = {"range": "least to greatest seed", "sd": "mean ± sample standard deviation"}
#: a spread of less is a rounding error
_SEEN = 1e-9
OPTION = "band=sd            sample standard deviation (default: range, least to greatest seed)"


def check_band(band: str) -> None:
    """Check that there is such a band."""
    check_one_of("band", band, BANDS)


def spread(values: Sequence[float], band: str) -> dict[str, Any]:
    """Return ``mean``, ``low``, ``high`` (NaN for one seed's) and ``seeds`` of one place."""
    mean = statistics.fmean(values)
    low, high = min(values), max(values)
    if len(values) == 1:
        low = high = math.nan
    elif band == "sd":
        low, high = mean - statistics.stdev(values), mean + statistics.stdev(values)
    return {"mean": mean, "low": low, "high": high, "seeds": len(values)}


def bare(lines: pd.DataFrame, of: str = "scores") -> str:
    """Return why some of ``lines`` have no spread to be seen; empty where all have one.

    Args:
        lines: columns ``low``, ``high`` (NaN: none) and ``seeds``.
        of: what seeds have that may be equal.
    """
    none = lines[~(lines["high"] - lines["low"] > _SEEN)]
    single, flat = none["seeds"] == 1, none["high"].notna()
    why = {
        "one seed": single,
        f"seeds of equal {of}": flat & ~single,
        "too few seeds for an interval of their median": ~flat & ~single,
    }
    return ", or ".join(reason for reason, there in why.items() if there.any())


def shade(look: Mapping[str, Any]) -> dict[str, Any]:
    """Return how the band of a line with ``look`` is filled."""
    return {"color": look["color"], "alpha": 0.18, "linewidth": 0}


def draw_band(
    axes: Axes,
    lines: pd.DataFrame,
    x: str,
    look: Mapping[str, Any],
    *,
    band: bool = True,
    **style: Any,
) -> Any:
    """Draw the line of the means over column ``x``, and its ``band`` if asked; return the line."""
    if band:
        axes.fill_between(lines[x], lines["low"], lines["high"], **shade(look))
    # Where lines run on each other, one with gaps shows what is below it.
    style = {"zorder": 2.0 if look["linestyle"] == "-" else 2.1, **style}
    (line,) = axes.plot(lines[x], lines["mean"], **{**look, **style})
    return line
