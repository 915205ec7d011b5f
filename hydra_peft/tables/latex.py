"""A sheet as a LaTeX table with booktabs rules."""

from __future__ import annotations

import re
from itertools import groupby

import pandas as pd

from hydra_peft.tables.sheet import BEST, Sheet, cell_text, line_text

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
    "…": r"\ldots{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def escape(text: str) -> str:
    """Return ``text`` as LaTeX that prints it; a minus sign becomes one, `code` becomes code."""
    escaped = "".join(_ESCAPES.get(character, character) for character in text)
    escaped = re.sub(r"^-(?=\d)", "$-$", escaped)
    # What begins a line of a table with a bracket would be taken for an argument of the last \\.
    escaped = re.sub(r"^(?=[\[*])", "{}", escaped)
    return re.sub(r"`([^`]*)`", r"\\texttt{\1}", escaped)


def to_latex(sheet: Sheet) -> str:
    """Return ``sheet`` as a table as wide as the page's text; best is bold, second underlined."""
    columns = list(sheet.cells.columns)
    escaped = sheet.cells.map(lambda text: escape(cell_text(text)))
    for (row, column), mark in sheet.marks.items():
        position = (row, columns.index(column))
        command = "textbf" if mark == BEST else "underline"
        escaped.iloc[position] = rf"\{command}{{{escaped.iloc[position]}}}"
    if sheet.groups:
        pairs = [(sheet.groups.get(column, ""), column) for column in columns]
        escaped.columns = pd.MultiIndex.from_tuples(pairs)
    styler = escaped.style.hide(axis="index").format_index(
        lambda text: escape(cell_text(str(text))), axis=1
    )
    tabular = styler.to_latex(
        hrules=True, column_format="l" + "r" * (len(columns) - 1), multicol_align="c"
    )
    lines = _with_rules(tabular.rstrip().splitlines(), sheet)
    below = [rf"\par {escape(line_text(line))}" for line in sheet.below]
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{escape(line_text(sheet.title))}}}",
            r"\resizebox{\textwidth}{!}{%",
            *lines,
            "}",
            r"\footnotesize",
            *below,
            r"\end{table}",
            "",
        ]
    )


def _with_rules(lines: list[str], sheet: Sheet) -> list[str]:
    """Return the lines of a tabular with rules between rows and under the groups of columns."""
    first = lines.index(r"\midrule") + 1
    for row in sorted(sheet.rules_after, reverse=True):
        if row < len(sheet.cells) - 1:
            lines.insert(first + row + 1, r"\midrule")
    rules, column = [], 1
    for group, members in groupby(sheet.groups.get(name, "") for name in sheet.cells.columns):
        count = len(list(members))
        if group:
            rules.append(rf"\cmidrule(lr){{{column}-{column + count - 1}}}")
        column += count
    if rules:
        lines.insert(lines.index(r"\toprule") + 2, " ".join(rules))
    return lines
