"""What stands above a picture: what its marks mean, and what must not be overlooked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hydra_peft.figures._style import SMALL

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture


def legend(
    made: Picture, handles: Mapping[str, Any], warnings: Sequence[str], *, markerscale: float = 1.0
) -> None:
    """Write above ``made`` what its marks mean, and ``warnings`` in bold over them."""
    made.legend(
        handles.values(),
        handles.keys(),
        loc="outside upper center",
        ncols=_columns(made.get_figwidth(), list(handles)),
        columnspacing=1.2,
        handletextpad=0.5,
        handlelength=2.6,
        markerscale=markerscale,
        title=" · ".join(warnings) or None,
        title_fontproperties={"weight": "bold", "size": 8},
    )


def room(width: float, labels: Sequence[str], warnings: Sequence[str]) -> float:
    """Return the inches that the legend of a picture of that width takes."""
    rows = math.ceil(len(labels) / _columns(width, labels)) + bool(warnings)
    return rows * 1.5 * SMALL / 72 + 0.15


def _columns(width: float, labels: Sequence[str]) -> int:
    # A letter takes a little over half of its size, a mark and the space beside it some eight.
    letters = int(width * 72 / (SMALL * 0.56))
    fitting = letters // (max(map(len, labels)) + 8)
    return max(1, min(fitting, len(labels)))
