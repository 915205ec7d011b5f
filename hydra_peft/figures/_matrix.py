"""A matrix of pairs: a colour and a number each, with names of any length beside its rows."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

from hydra_peft.figures._style import HEAT, SMALL, in_lines

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes

#: rows whose cells have room for a number
NUMBERED = 12
#: inches of the names beside the matrix, of a line of them, and of a row at least
_BESIDE, _LINE, _ROW = 1.9, 1.25 * SMALL / 72, 0.25


def numbered_names(names: Sequence[str]) -> list[str]:
    """Return ``names`` with their numbers, which stand below the columns, in lines."""
    return [in_lines(f"{at}: {name}", _BESIDE, SMALL) for at, name in enumerate(names, 1)]


def row_heights(names: Sequence[str]) -> list[float]:
    """Return the inches of each row: a name of many lines makes its own row high, no other."""
    return [max(_ROW, (1 + name.count("\n")) * _LINE + 0.05) for name in names]


def draw_matrix(axes: Axes, cells: np.ndarray[Any, Any], names: Sequence[str]) -> Any:
    """Draw ``cells``, in percent, NaN for none; return what a colour bar is of.

    Args:
        axes: where to.
        cells: shape (names, names).
        names: as of :func:`numbered_names`.
    """
    import numpy as np

    count = len(names)
    columns, ends = np.arange(count + 1) - 0.5, [0.0, *accumulate(row_heights(names))]
    image = axes.pcolormesh(columns, ends, cells, cmap=HEAT, vmin=0, vmax=100, rasterized=True)
    axes.invert_yaxis()
    middles = [(low + high) / 2 for low, high in pairwise(ends)]
    axes.set_yticks(middles, names, fontsize=SMALL)
    # Upright names would take more than the matrix.
    axes.set_xticks(range(count), map(str, range(1, 1 + count)), fontsize=SMALL)
    if count <= NUMBERED:
        _write_numbers(axes, cells, middles)
    return image


def _write_numbers(axes: Axes, cells: np.ndarray[Any, Any], middles: Sequence[float]) -> None:
    import numpy as np

    for row, column in np.argwhere(~np.isnan(cells)).tolist():
        value = cells[row, column]
        axes.text(
            column,
            middles[row],
            f"{value:.0f}",
            ha="center",
            va="center",
            color="white" if value < 45 else "black",
            fontsize=SMALL,
            fontweight="bold" if row == column else "normal",
        )
