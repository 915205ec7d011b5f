"""A table to be read, before it is Markdown, LaTeX or HTML: texts, marks, and what stands around.

Texts may come from records, which anybody may have written: each format escapes them, and all of
them see one line of bounded length (:func:`cell_text`, :func:`line_text`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pandas as pd

from hydra_peft.plain_text import shortened, shortened_apart

#: marks of a cell: printed bold, and underlined
BEST, SECOND = 1, 2
#: longest texts that are printed
CELL, _LINE = 200, 4000


@dataclass(frozen=True)
class Sheet:
    """One table.

    Attributes:
        title: what it shows.
        cells: texts by column title; titles are unique.
        groups: a heading over neighbouring columns, by column; columns without one are left out.
        marks: :data:`BEST` or :data:`SECOND` by row number (from 0) and column title.
        rules_after: numbers of rows that a rule follows.
        above: sentences between the title and the table.
        below: sentences under the table; `code` in backticks is a command.
        name: what it is referred to by, for programs; of the title where it is empty.
    """

    title: str
    cells: pd.DataFrame
    groups: Mapping[str, str] = field(default_factory=dict)
    marks: Mapping[tuple[int, str], int] = field(default_factory=dict)
    rules_after: Sequence[int] = ()
    above: Sequence[str] = ()
    below: Sequence[str] = ()
    name: str = ""


def fitted(sheet: Sheet) -> Sheet:
    """Return ``sheet`` with rows whose names differ though cut, and a note on what is cut."""
    if not any(len(str(text)) > CELL for name in sheet.cells for text in sheet.cells[name]):
        return sheet
    first = sheet.cells.columns[0]
    names = shortened_apart([str(text) for text in sheet.cells[first]], CELL)
    cells = sheet.cells.assign(**{first: names})
    return replace(sheet, cells=cells, below=[*sheet.below, cut_note(CELL)])


def cut_note(limit: int) -> str:
    """Return the sentence on texts that are cut at ``limit`` characters."""
    return f"… stands for what is cut of texts of more than {limit} characters; csv has them whole."


def cell_text(text: str) -> str:
    """Return a cell or a title as one printable line of bounded length."""
    return shortened(text, CELL)


def line_text(text: str) -> str:
    """Return a sentence as one printable line of bounded length."""
    return shortened(text, _LINE)


def ranks(values: Sequence[float | None], sign: int = 1) -> list[int | None]:
    """Return :data:`BEST` and :data:`SECOND` for the best and the second best of a column.

    Equal values share a mark. One value alone is not the best of anything, and of two the worse is
    not called second.

    Args:
        values: of the column, None where there is none.
        sign: 1 where the highest is the best, -1 where the lowest is; with 0 nothing is marked.
    """
    there = sum(value is not None for value in values) if sign else 0
    best = sorted({value for value in values if value is not None}, reverse=sign > 0)
    marks = dict(zip(best, (BEST, SECOND) if there > 2 else (BEST,), strict=False))
    return [marks.get(v) if v is not None and there > 1 else None for v in values]
