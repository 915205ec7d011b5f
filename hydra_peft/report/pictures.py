"""Figures inside the page: an SVG each, with its numbers as a table and as a file."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

from hydra_peft.report.embedding import data_uri

#: rows of a figure's numbers that the page lists; the file has all
MOST_ROWS = 60
#: a figure or a table of numbers that is larger is left out of the page
MAX_BYTES = 2**20


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
    """A figure as the page shows it; ``rows`` are the first of ``count``."""

    title: str
    caption: str
    image: str
    file: str
    name: str
    header: list[str]
    rows: list[list[str]]
    count: int


def embed(picture: Picture) -> EmbeddedPicture:
    """Return ``picture`` with its files as ``data:`` addresses.

    As the source of an image an SVG can run no script and fetch nothing.
    """
    header, *rows = list(csv.reader(io.StringIO(picture.csv))) or [[]]
    return EmbeddedPicture(
        title=picture.title,
        caption=picture.caption,
        image=data_uri("image/svg+xml", picture.svg),
        file=data_uri("text/csv", picture.csv),
        name=f"{picture.name}.csv",
        header=header,
        rows=rows[:MOST_ROWS],
        count=len(rows),
    )
