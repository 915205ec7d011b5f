"""Fonts, widths and legend of every picture, and files that do not change by themselves."""

from __future__ import annotations

import functools
import math
import os
import re
import sys
import textwrap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from types import ModuleType

    from matplotlib.figure import Figure as Picture
    from matplotlib.figure import FigureBase

#: widths of one and of both columns of a two-column paper, in inches
COLUMN = 3.3
PAGE = 6.9
#: the smallest type, in points
SMALL = 7.0
#: inches that a mark takes, long enough for two periods of every dash, and the space beside it
_MARK = 0.56

GREY = "#767676"
#: a space at which no line is broken
BOUND = "\N{NO-BREAK SPACE}"
#: fonts that have letters which matplotlib's own lacks; those that are not here are passed over
_OTHER_LETTERS = (
    *(
        "Noto Sans CJK JP",
        "Noto Sans CJK SC",
        "WenQuanYi Zen Hei",
        "IPAexGothic",
        "Microsoft YaHei",
    ),
    *("Hiragino Sans", "Malgun Gothic", "Noto Sans Devanagari", "Noto Sans Thai", "Noto Emoji"),
)
#: heat maps of magnitudes
HEAT = "cividis"

_SETTINGS: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # matplotlib's own, the same on every machine
    "font.size": 8.0,
    "axes.titlesize": 8.0,
    "axes.labelsize": 8.0,
    "figure.titlesize": 8.0,
    "figure.labelsize": 8.0,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.2,
    "lines.markersize": 4.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.5,
    "figure.dpi": 200,
    "savefig.dpi": 200,
    # Names from records stand in pictures: what is between dollars there is no formula.
    "text.parse_math": False,
    "figure.constrained_layout.h_pad": 0.03,
    "figure.constrained_layout.w_pad": 0.03,
    # TrueType, embedded: text in a PDF stays text, and journals take it.
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    # Names inside an SVG are drawn at random without it.
    "svg.hashsalt": "hydra_peft",
    "svg.fonttype": "path",
}


@contextmanager
def style() -> Iterator[None]:
    """Make matplotlib draw and save in this project's way, for as long as the context lasts."""
    matplotlib = _matplotlib()
    # A user's own matplotlibrc must not change our pictures.
    plain = {k: v for k, v in matplotlib.rcParamsDefault.items() if k != "backend"}
    fonts = {"font.family": [_SETTINGS["font.family"], *_other_fonts()]}
    with matplotlib.rc_context(cast(Any, plain | _SETTINGS | fonts)), warnings.catch_warnings():
        # Letters that no font has are boxes, which is seen.
        warnings.filterwarnings("ignore", r"Glyph .* missing from font")
        yield


@functools.cache
def _other_fonts() -> tuple[str, ...]:
    from matplotlib.font_manager import fontManager

    here = {font.name for font in fontManager.ttflist}
    return tuple(name for name in _OTHER_LETTERS if name in here)


def _matplotlib() -> ModuleType:
    """Return matplotlib; a backend that is not here, as of the notebook around, does not count."""
    is_loaded = "matplotlib" in sys.modules
    backend = os.environ.pop("MPLBACKEND", None)  # importing fails at one that is not known
    try:
        import matplotlib
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
    if backend and not is_loaded:
        with suppress(ValueError):
            matplotlib.rcParams["backend"] = backend
    return matplotlib


def picture(width: float, height: float) -> Picture:
    """Return an empty picture of that size in inches; it lays itself out.

    No pyplot: nothing global, and no window, whatever the machine.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Picture

    made = Picture(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(made)
    return made


def in_lines(text: str, width: float, size: float = 8.0) -> str:
    """Return a label or title of ``size`` points in lines that fit into so many inches.

    A word that is longer than a line is broken behind its punctuation, where it has some.
    """
    letters = max(1, int(width / text_width("x", size)))
    words = [
        re.split(r"(?<=[=,._/+])(?=[^\s\d=,._/+])", word) if len(word) > letters else [word]
        for word in re.split(r"[ \n]+", text.strip())
    ]
    lines = [""]
    for parts in words:
        for number, part in enumerate(parts):
            gap = " " if lines[-1] and not number else ""
            if len(lines[-1]) + len(gap) + len(part) <= letters:
                lines[-1] += gap + part
            else:
                cut = textwrap.wrap(part, letters)
                lines[-1:] = cut if not lines[-1] else [lines[-1], *cut]
    return "\n".join(lines)


def text_width(text: str, size: float = 8.0) -> float:
    """Return about how many inches ``text`` of ``size`` points takes."""
    # DejaVu Sans takes a little over half of its size a letter.
    return len(text) * size * 0.6 / 72


def formulas(made: FigureBase) -> None:
    """Typeset what is between dollars in the legends of ``made``, whose words are our own."""
    for legend in made.legends:
        for text in legend.get_texts():
            text.set_parse_math(True)


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
        handlelength=4.0,
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
