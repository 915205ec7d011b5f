"""Text of unknown origin on a terminal: nothing in it moves the cursor, and it fits."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

#: between columns
_GAP = "  "
#: no cell but the last of a row is wider
_CELL = 40


def clean(text: str) -> str:
    """Return ``text`` in one line, what a terminal would obey instead of showing it replaced.

    White space of any kind becomes blanks; control characters, escapes, marks that turn the
    direction of writing and halves of characters become U+FFFD.
    """
    return "".join(
        " " if char.isspace() else "\ufffd" if unicodedata.category(char)[0] == "C" else char
        for char in text
    )


def width(text: str) -> int:
    """Width of ``text`` in columns of a terminal."""
    if text.isascii():
        return len(text)
    return sum(_width(char) for char in text)


def shortened(text: str, columns: int) -> str:
    """Return ``text``, cut and with an ellipsis at its end where it is wider than ``columns``."""
    if width(text) <= columns:
        return text
    kept, used = [], 0
    for char in text:
        used += _width(char)
        if used > columns - 1:
            break
        kept.append(char)
    return ("".join(kept) + "…") if columns >= 1 else ""


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table: cells cleaned, columns aligned.

    Args:
        header: the columns' names.
        rows: one cell for each of them; only the last one may be long.
    """
    lines = [[clean(cell) for cell in row] for row in (header, *rows)]
    lines = [[*(shortened(cell, _CELL) for cell in line[:-1]), line[-1]] for line in lines]
    widths = [max(width(line[i]) for line in lines) for i in range(len(header))]
    return [
        _GAP.join(
            cell + " " * (wide - width(cell)) for cell, wide in zip(line, widths, strict=True)
        ).rstrip()
        for line in lines
    ]


def fitted(line: str, columns: int | None) -> str:
    """Return ``line``, cut where the terminal has ``columns`` and that is not enough."""
    return line if columns is None else shortened(line, columns)


def _width(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me"):  # drawn over the one before
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
