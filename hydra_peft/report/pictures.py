"""Figures inside the page: an SVG each, with its numbers as a table and as a file."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from hydra_peft.commands import command
from hydra_peft.errors import UserError
from hydra_peft.report.embedding import data_uri
from hydra_peft.tables.formats import to_csv

if TYPE_CHECKING:
    from hydra_peft.figures import CollectionFigure, Figure, FigureData
    from hydra_peft.runs.collection import Collection

#: rows of a figure's numbers that the page lists; the file has all
MOST_ROWS = 60
#: a larger drawing is left out of the page, and of larger numbers only the first rows are in it
MAX_SVG, MAX_CSV = 600_000, 200_000


@dataclass(frozen=True)
class Picture:
    """One figure to embed.

    Attributes:
        title: a heading.
        svg: the drawing.
        csv: the numbers in it, a header first.
        caption: what was measured on what.
        name: of the file that the numbers are saved as.
    """

    title: str
    svg: str
    csv: str
    caption: str
    name: str


@dataclass(frozen=True)
class EmbeddedPicture:
    """A figure as the page shows it.

    Attributes:
        image, file: the drawing and its numbers as addresses; no file where it is too large.
        name: of that file.
        header, rows: the first of the ``count`` rows of numbers.
    """

    title: str
    caption: str
    image: Markup
    file: Markup | None
    name: str
    header: list[str]
    rows: list[list[str]]
    count: int


def draw(figure: CollectionFigure, collection: Collection) -> Picture:
    """Return ``figure`` of the runs in ``collection``, with its options as they are by default.

    Raises:
        UserError: these runs do not give the figure, or it is too large for a page.
    """
    return picture_of(figure, figure.data(collection, figure.settings()))


def picture_of(
    figure: Figure, data: FigureData, *, table: str = "", name: str = "", of: str = ""
) -> Picture:
    """Return ``figure`` of ``data``.

    Args:
        table: which of the tables is listed and saved.
        name: of the file that it is saved as, without ending; the figure's own where empty.
        of: what the command that draws the figure takes besides.

    Raises:
        UserError: it is too large for a page.
    """
    from hydra_peft.figures import render

    svg = render(figure.draw(data), "svg", data.caption).decode()
    numbers = to_csv(data.tables[table])
    if len(svg) > MAX_SVG:
        draw = f"{command('figures')} figure={figure.name} {of}".rstrip()
        raise UserError(f"it is too large for a page; `{draw}` draws it.")
    return Picture(figure.title, svg, numbers, data.caption, name or figure.file)


def embed(picture: Picture) -> EmbeddedPicture:
    """Return ``picture`` with its files as ``data:`` addresses.

    As the source of an image an SVG can run no script and fetch nothing.
    """
    header, *rows = list(csv.reader(io.StringIO(picture.csv))) or [[]]
    return EmbeddedPicture(
        title=picture.title,
        caption=picture.caption,
        image=data_uri("image/svg+xml", picture.svg),
        file=data_uri("text/csv", picture.csv) if len(picture.csv) <= MAX_CSV else None,
        name=f"{picture.name}.csv",
        header=header,
        rows=[[_short(cell) for cell in row] for row in rows[:MOST_ROWS]],
        count=len(rows),
    )


def _short(cell: str) -> str:
    """Return a number with no more digits than are read; the file has all of them."""
    return f"{float(cell):.6g}" if re.fullmatch(r"-?\d+\.\d{6,}", cell) else cell
