"""A frame of texts as a LaTeX table with booktabs rules."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pandas as pd

#: what the preamble of a document with our tables needs
PREAMBLE = r"% needs \usepackage{booktabs} and \usepackage{graphicx}"

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def escape(text: str) -> str:
    """Return ``text`` as LaTeX that prints it; a minus sign becomes one, `code` becomes code."""
    escaped = "".join(_ESCAPES.get(character, character) for character in text)
    escaped = re.sub(r"^-(?=\d)", "$-$", escaped)
    return re.sub(r"`([^`]*)`", r"\\texttt{\1}", escaped)


def to_latex(
    frame: pd.DataFrame, *, caption: str, notes: Iterable[str], rules_after: Iterable[int] = ()
) -> str:
    """Return ``frame``, all of whose cells are texts, as a table as wide as the page's text.

    Args:
        frame: column titles and cells, not escaped.
        caption: above the table.
        notes: one paragraph each, below it.
        rules_after: numbers of rows (from 0) that a rule follows.
    """
    escaped = frame.map(escape).rename(columns=escape)
    styler = escaped.style.hide(axis="index")
    columns = "l" + "r" * (frame.shape[1] - 1)
    tabular = styler.to_latex(hrules=True, column_format=columns).rstrip()
    lines = tabular.splitlines()
    first = lines.index(r"\midrule") + 1
    for row in sorted(rules_after, reverse=True):
        if row < len(frame) - 1:
            lines.insert(first + row + 1, r"\midrule")
    paragraphs = [rf"\par {escape(note)}" for note in notes]
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{escape(caption)}}}",
            r"\resizebox{\textwidth}{!}{%",
            *lines,
            "}",
            r"\footnotesize",
            *paragraphs,
            r"\end{table}",
            "",
        ]
    )
