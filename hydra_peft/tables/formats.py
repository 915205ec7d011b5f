"""Sheets as Markdown for people, CSV for programs, LaTeX for papers and HTML for a browser."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import pandas as pd

from hydra_peft.errors import check_one_of
from hydra_peft.plain_text import csv_text
from hydra_peft.tables.latex import OTHER_LETTERS, PREAMBLE, escape, other_letters, to_latex
from hydra_peft.tables.sheet import BEST, Sheet, cell_text, fitted, line_text

#: format to the endings of its files; the first is what is printed
FORMATS = {
    "markdown": ("md", "csv"),
    "csv": ("csv",),
    "latex": ("tex",),
    "html": ("html",),
}


def endings(form: str) -> tuple[str, ...]:
    """Return the endings of the files that ``form`` writes.

    Raises:
        UserError: there is no such format.
    """
    check_one_of("format", form, FORMATS)
    return FORMATS[form]


def render(
    sheets: Sequence[Sheet], frame: Callable[[], pd.DataFrame], notes: Sequence[str], form: str
) -> dict[str, str]:
    """Return the whole text of each file of ``form``, by ending; the first is to be printed.

    Args:
        sheets: the tables, as they are read.
        frame: gives the same numbers in long form, for CSV.
        notes: sentences that concern all tables; CSV has no place for them.
        form: one of :data:`FORMATS`.
    """
    sheets = [fitted(sheet) for sheet in sheets]
    make: dict[str, Callable[[], str]] = {
        "md": lambda: _markdown(sheets, notes),
        "csv": lambda: to_csv(frame()),
        "tex": lambda: _latex(sheets, notes),
        "html": lambda: _html(sheets, notes),
    }
    return {ending: make[ending]() for ending in endings(form)}


def _markdown(sheets: Iterable[Sheet], notes: Iterable[str]) -> str:
    return "\n".join(
        [*(to_markdown(sheet) for sheet in sheets), *(f"> note: {_sentence(n)}" for n in notes)]
    )


def to_markdown(sheet: Sheet) -> str:
    """Return ``sheet`` as Markdown; best is bold, second underlined."""
    cells = sheet.cells.map(_cell)
    columns = list(sheet.cells.columns)
    for (row, column), mark in sheet.marks.items():
        position = (row, columns.index(column))
        text = cells.iloc[position]
        cells.iloc[position] = f"**{text}**" if mark == BEST else f"<u>{text}</u>"
    cells.columns = pd.Index([_cell(str(column)) for column in columns])
    body = cells.to_markdown(index=False, disable_numparse=True)
    below = "\n".join(f"- {_sentence(line)}" for line in sheet.below)
    above = "".join(f"{_sentence(line)}\n\n" for line in sheet.above)
    return f"### {_sentence(sheet.title)}\n\n{above}{body}\n\n{below}\n"


def _cell(text: str) -> str:
    """Return ``text`` so that it ends no cell and starts no markup."""
    # An underscore inside a word is none of markup, and is read as it is.
    escaped = re.sub(
        r"([\\|*`~$]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", _without_tags(cell_text(text))
    )
    return escaped.replace("](", r"]\(")


def _sentence(text: str) -> str:
    return _without_tags(line_text(text)).replace("](", r"]\(")


def _without_tags(text: str) -> str:
    """Return ``text`` without tags and without what only looks like text, such as ``&lt;``."""
    return re.sub(r"&(?=#?\w+;)", "&amp;", text).replace("<", "&lt;")


def to_csv(frame: pd.DataFrame) -> str:
    """Return ``frame`` as CSV, texts in one line each and none that a spreadsheet computes."""
    safe = frame.copy()
    for column in safe.select_dtypes(["object", "string"]).columns:
        safe[column] = [csv_text(v) if isinstance(v, str) else v for v in safe[column]]
    return safe.to_csv(index=False, lineterminator="\n")


def _latex(sheets: Iterable[Sheet], notes: Iterable[str]) -> str:
    tables, taken = [], Counter[str]()
    for sheet in sheets:
        label = _label(sheet)
        taken[label] += 1
        tables.append(to_latex(sheet, f"{label}-{taken[label]}" if taken[label] > 1 else label))
    # What concerns all tables is nothing to be printed in somebody's text.
    comments = [f"% note: {escape(line_text(note))}" for note in notes]
    others = other_letters("".join(tables))
    needed = [PREAMBLE, *([OTHER_LETTERS.format(characters=others)] if others else [])]
    return "\n".join([*needed, *comments, *tables])


def _label(sheet: Sheet) -> str:
    """Return a LaTeX label for ``sheet``."""
    return re.sub(r"[^a-z0-9]+", "-", (sheet.name or sheet.title).lower()).strip("-")[:80]


def _html(sheets: Sequence[Sheet], notes: Sequence[str]) -> str:
    from hydra_peft.tables.html import to_html

    return to_html(sheets, notes)
