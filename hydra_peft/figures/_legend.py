"""What stands above a picture: what its marks mean, and what must not be overlooked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hydra_peft.figures._style import SMALL, in_lines

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

#: inches that a mark takes, and the space beside it
_MARK = 0.45


def legend(
    made: Picture, handles: Mapping[str, Any], warnings: Sequence[str], *, markerscale: float = 1.0
) -> None:
    """Write above ``made`` what its marks mean, and ``warnings`` in bold over them."""
    width = made.get_figwidth()
    made.legend(
        handles.values(),
        [in_lines(label, width - _MARK, SMALL) for label in handles],
        loc="outside upper center",
        ncols=_columns(width, list(handles)),
        columnspacing=1.2,
        handletextpad=0.5,
        handlelength=2.6,
        markerscale=markerscale,
        title=" · ".join(warnings) or None,
        title_fontproperties={"weight": "bold", "size": 8},
    )


def room(width: float, labels: Sequence[str], warnings: Sequence[str]) -> float:
    """Return the inches that the legend of a picture of that width takes."""
    columns = _columns(width, labels)
    if columns > 1:
        lines = math.ceil(len(labels) / columns)
    else:
        lines = sum(in_lines(label, width - _MARK, SMALL).count("\n") + 1 for label in labels)
    return (lines + bool(warnings)) * 1.5 * SMALL / 72 + 0.15


def _columns(width: float, labels: Sequence[str]) -> int:
    # A letter takes a little over half of its size.
    longest = max(map(len, labels)) * SMALL * 0.56 / 72
    return max(1, min(int(width / (longest + _MARK)), len(labels)))
