"""A sheet as LaTeX tables with booktabs rules, in a type that can be read."""

from __future__ import annotations

import dataclasses
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import pandas as pd

from hydra_peft.tables.sheet import BEST, Sheet, cell_text, line_text

#: what the preamble of a document with our tables needs
PREAMBLE = r"% needs \usepackage{booktabs} and \usepackage{graphicx}"
#: beside it, where names are written in letters of other alphabets
OTHER_LETTERS = (
    "% needs lualatex or xelatex, with a font that has {characters}: pdflatex does not know them"
)
#: characters that stand side by side in the text's width, in the type of footnotes, and what the
#: space between two columns takes of them
_LINE, _SPACE = 84, 2
#: longer cells, and longer titles above short cells, have several lines
_CELL, _TITLE = 36, 11
#: lines of that type that fit on a page below a caption, and characters of a sentence in a line
_PAGE, _SENTENCE = 52, 100
#: lines that a table takes beside those of its cells and titles, and with headings over columns
_HEAD, _HEADINGS = 4, 3

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "\u2212": "$-$",
    "…": r"\ldots{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def escape(text: str) -> str:
    """Return ``text`` as LaTeX that prints it; a minus sign becomes one, `code` becomes code."""
    escaped = "".join(_ESCAPES.get(character, character) for character in text)
    escaped = re.sub(r"(?<![\w-])-(?=\d)", "$-$", escaped)
    escaped = re.sub(r"-(?=-)", "-{}", escaped)  # two in a row would become one dash
    # What begins a line of a table with a bracket would be taken for an argument of the last \\.
    escaped = re.sub(r"^(?=[\[*])", "{}", escaped)
    return re.sub(r"`([^`]*)`", r"\\texttt{\1}", escaped)


def other_letters(text: str) -> str:
    """Return the first characters of ``text`` that pdflatex stops at, with spaces between them."""
    # It knows Latin letters, and dashes and quotation marks.
    known = {*range(0x180), *range(0x2010, 0x2031)}
    return " ".join(sorted({c for c in text if ord(c) not in known})[:8])


@dataclass(frozen=True)
class _Column:
    """One column: lines of its title and of each cell, and the characters that it takes."""

    name: str
    title: list[str]
    cells: list[list[str]]
    width: int


@dataclass(frozen=True)
class _Block:
    """Lines that stay together, and how many lines of a page they take."""

    lines: list[str]
    height: int


def to_latex(sheet: Sheet, label: str) -> str:
    """Return ``sheet`` as a table; best is bold, second underlined.

    A table with many columns and few rows is turned, so that its columns are lines. Columns that
    do not fit beside each other stand below each other with the first one repeated; what does not
    fit on one page goes on in a further table of the same number.

    Args:
        sheet: the table.
        label: what ``\\ref`` names it by, lower case letters, digits and hyphens.
    """
    above, below = (_Block(*_sentences(texts)) for texts in (sheet.above, sheet.below))
    # On a page of their own sentences would be a table without a table.
    room = max(_PAGE - above.height - below.height, _PAGE // 2)
    first, *blocks = min((_blocks(one, room) for one in _ways(sheet)), key=_height)
    blocks = [_joined(above, first), *blocks]
    blocks[-1] = _joined(blocks[-1], below)
    pages = _pages(blocks)
    return "\n".join(_float(sheet, label, page, number) for number, page in enumerate(pages))


def _ways(sheet: Sheet) -> list[Sheet]:
    """Return ``sheet``, and turned if nothing but cells and marks depends on its direction."""
    first, *others = map(str, sheet.cells.columns)
    labels = [str(label) for label in sheet.cells[first]]
    if sheet.groups or sheet.rules_after or len({"", *labels}) <= len(labels):
        return [sheet]
    rows = zip(labels, sheet.cells[others].itertuples(index=False, name=None), strict=True)
    cells = pd.DataFrame({"": others, **{label: list(row) for label, row in rows}})
    marks = {
        (others.index(column), labels[row]): mark
        for (row, column), mark in sheet.marks.items()
        if column != first
    }
    return [sheet, dataclasses.replace(sheet, cells=cells, marks=marks)]


def _joined(one: _Block, other: _Block) -> _Block:
    return _Block([*one.lines, *other.lines], one.height + other.height)


def _blocks(sheet: Sheet, room: int) -> list[_Block]:
    """Return tabulars of ``sheet``, each of at most ``room`` lines of a page where rows allow."""
    columns = [_column(sheet, str(name)) for name in sheet.cells.columns]
    return [
        _panel(sheet, members, rows)
        for members in _beside(columns)
        for rows in _below(sheet, members, room)
    ]


def _below(sheet: Sheet, columns: Sequence[_Column], room: int) -> list[range]:
    """Return the rows that stand below each other on a page."""
    room -= _above(sheet, columns)
    starts, used = [0], 0
    for row, height in enumerate(_heights(columns)):
        if used and used + height > room:
            starts.append(row)
            used = 0
        used += height
    return [range(*ends) for ends in zip(starts, [*starts[1:], len(columns[0].cells)], strict=True)]


def _heights(columns: Sequence[_Column]) -> list[int]:
    cells = zip(*(column.cells for column in columns), strict=True)
    return [max(map(len, row)) for row in cells]


def _height(blocks: Sequence[_Block]) -> int:
    return sum(block.height for block in blocks)


def _column(sheet: Sheet, name: str) -> _Column:
    cells = [_wrapped(cell_text(text), _CELL) for text in sheet.cells[name]]
    widest = max((len(line) for cell in cells for line in cell), default=0)
    title = _wrapped(cell_text(name), max(widest, _TITLE))
    return _Column(name, title, cells, max(widest, *map(len, title)))


def _wrapped(text: str, width: int) -> list[str]:
    """Return ``text`` in lines; of its words only those are broken that no column has room for."""
    lines = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]
    return [part for line in lines for part in _at_marks(line, max(width, _CELL))]


def _at_marks(line: str, width: int) -> list[str]:
    """Return ``line`` in lines of at most ``width`` characters; a word that is longer is broken
    behind a comma, equals sign, underscore or bracket, or a key's dot, before it is broken
    anywhere."""
    if len(line) <= width:
        return [line]
    found = [""]
    for piece in re.split(r"(?<=[,=_[])|(?<=\.)(?=[a-z])", line):
        for part in textwrap.wrap(piece, width, drop_whitespace=False):
            if found[-1] and len(found[-1]) + len(part) > width:
                found.append("")
            found[-1] += part
    return found


def _beside(columns: Sequence[_Column]) -> list[list[_Column]]:
    """Return the columns that stand beside each other, each time after the first one.

    As few times as the text's width allows, and then each time about as many.
    """
    panels = _filled(columns, _LINE)
    for width in range(_LINE):
        even = _filled(columns, width)
        if len(even) == len(panels):
            return even
    return panels


def _filled(columns: Sequence[_Column], width: int) -> list[list[_Column]]:
    first, *others = columns
    panels, room = [[first]], width - first.width
    for column in others:
        if column.width + _SPACE > room and len(panels[-1]) > 1:
            panels.append([first])
            room = width - first.width
        panels[-1].append(column)
        room -= column.width + _SPACE
    return panels


def _panel(sheet: Sheet, columns: Sequence[_Column], rows: range) -> _Block:
    """Return the lines of one tabular, narrowed only where it is wider than the text."""
    titles = [_stacked(column.title, "b" if i else "bl") for i, column in enumerate(columns)]
    lines = [r"\toprule", *_groups(sheet, columns), _line(titles), r"\midrule"]
    for row in rows:
        lines.append(_line([_cell(sheet, row, column) for column in columns]))
        if row in sheet.rules_after and row < rows[-1]:
            lines.append(r"\midrule")
    tabular = [
        "",
        r"\medskip\centering",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{l{'r' * (len(columns) - 1)}}}",
        *lines,
        r"\bottomrule",
        r"\end{tabular}}",
        "",
    ]
    stacked = sum(_heights(columns)[row] for row in rows)
    return _Block(tabular, _above(sheet, columns) + stacked)


def _above(sheet: Sheet, columns: Sequence[_Column]) -> int:
    """Return the lines of a tabular beside those of its cells."""
    headings = _HEADINGS if _groups(sheet, columns) else 0
    return _HEAD + headings + max(len(column.title) for column in columns)


def _line(cells: Sequence[str]) -> str:
    return f"{' & '.join(cells)} \\\\"


def _cell(sheet: Sheet, row: int, column: _Column) -> str:
    text = _stacked(column.cells[row], "tl")
    mark = sheet.marks.get((row, column.name))
    if mark is None:
        return text
    return rf"\{'textbf' if mark == BEST else 'underline'}{{{text}}}"


def _stacked(lines: Sequence[str], place: str) -> str:
    r"""Return one line as it is, several as a table of their own: ``\\`` ends a row elsewhere."""
    escaped = [escape(line) for line in lines]
    if len(escaped) == 1:
        return escaped[0]
    side = place[1:] or "r"
    rows = r" \\ ".join(escaped)
    return rf"\begin{{tabular}}[{place[0]}]{{@{{}}{side}@{{}}}}{rows}\end{{tabular}}"


def _groups(sheet: Sheet, columns: Sequence[_Column]) -> list[str]:
    """Return the lines of headings over neighbouring columns, if there are any."""
    cells, rules, at = [], [], 1
    for group, members in groupby(sheet.groups.get(column.name, "") for column in columns):
        count = len(list(members))
        if group:
            cells.append(rf"\multicolumn{{{count}}}{{c}}{{{escape(cell_text(group))}}}")
            rules.append(rf"\cmidrule(lr){{{at}-{at + count - 1}}}")
        else:
            cells += [""] * count
        at += count
    return [_line(cells), " ".join(rules)] if rules else []


def _sentences(texts: Sequence[str]) -> tuple[list[str], int]:
    """Return paragraphs, and the lines of a page that they take."""
    if not texts:
        return [], 0
    lines = [rf"{escape(line_text(text))}\par" for text in texts]
    return [r"\smallskip\raggedright", *lines], sum(1 + len(t) // _SENTENCE for t in texts)


def _pages(blocks: Sequence[_Block]) -> list[list[_Block]]:
    """Return the blocks that fit on a page together."""
    pages: list[list[_Block]] = [[]]
    for block in blocks:
        height = _height(pages[-1])
        if height and height + block.height > _PAGE:
            pages.append([])
        pages[-1].append(block)
    return pages


def _float(sheet: Sheet, label: str, blocks: Sequence[_Block], number: int) -> str:
    title = escape(line_text(sheet.title))
    head = [rf"\caption{{{title}}}", rf"\label{{tab:{label}}}"]
    if number:
        head = [r"\addtocounter{table}{-1}", rf"\caption[]{{{title} (continued)}}"]
    return "\n".join(
        [
            r"\begin{table}",
            *head,
            r"\footnotesize",
            r"\setlength{\tabcolsep}{4pt}",
            *(line for block in blocks for line in block.lines),
            r"\end{table}",
            "",
        ]
    )
