"""A matrix of pairs: a colour and a number each, with names of any length beside its rows."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

from hydra_peft.figures._style import HEAT, SMALL, in_lines

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes

#: rows that leave room for two digits in a cell where something stands beside the matrix; and where
#: it has the width of a page
BESIDE, NUMBERED = 20, 40
#: inches of the names beside the matrix, of a line of them, and of a row at least: of few, of many
_NAMES, _LINE, _ROW, _LOW_ROW = 1.9, 1.25 * SMALL / 72, 0.25, 0.17
#: widths of a digit, and of a bold one, in type of size 1
_DIGIT, _BOLD_DIGIT = 0.64, 0.7


def numbered_names(names: Sequence[str]) -> list[str]:
    """Return ``names`` with their numbers, which stand below the columns, in lines."""
    return [in_lines(f"{at}: {name}", _NAMES, SMALL) for at, name in enumerate(names, 1)]


def row_heights(names: Sequence[str]) -> list[float]:
    """Return the inches of each row: a name of many lines makes its own row high, no other."""
    least = _ROW if len(names) <= BESIDE else _LOW_ROW
    return [max(least, (1 + name.count("\n")) * _LINE + 0.05) for name in names]


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
    # Upright names would take more than the matrix; of more numbers than have room, some are there.
    shown = range(0, count, -(-count // NUMBERED))
    axes.set_xticks(shown, [str(1 + at) for at in shown], fontsize=SMALL)
    return image


def write_numbers(axes: Axes, cells: np.ndarray[Any, Any]) -> None:
    """Write the numbers of ``cells`` into the matrix, small enough for them; none where there are
    more than :data:`NUMBERED` rows. What else is in the picture must be there."""
    import numpy as np

    count = len(cells)
    if count > NUMBERED:
        return
    made = axes.get_figure(root=True)
    assert made is not None
    made.draw_without_rendering()  # how wide a cell is depends on what is beside it
    width = 72 * axes.get_window_extent().width / made.dpi / count
    middles = axes.get_yticks()
    for label in axes.get_xticklabels():
        label.set_fontsize(min(SMALL, width / (2 * _DIGIT)))
    for row, column in np.argwhere(~np.isnan(cells)).tolist():
        value, bold = cells[row, column], row == column
        text = f"{value:.0f}"
        axes.text(
            column,
            middles[row],
            text,
            ha="center",
            va="center",
            color="white" if value < 45 else "black",
            fontsize=min(SMALL, width / (len(text) * (_BOLD_DIGIT if bold else _DIGIT))),
            fontweight="bold" if bold else "normal",
        )
