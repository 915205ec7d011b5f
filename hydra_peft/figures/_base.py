"""Figures: where their numbers come from, how they are drawn, and the files they are saved as.

The same data gives the same bytes.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra_peft.errors import UserError
from hydra_peft.figures._style import style
from hydra_peft.files import atomic_write
from hydra_peft.plain_text import in_one_line

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure as Picture

    from hydra_peft.runs.collection import Collection

#: what a file says of itself; without these matplotlib writes its version and the time
_METADATA: dict[str, dict[str, str | None]] = {
    "pdf": {"Creator": "hydra_peft", "Producer": "matplotlib", "CreationDate": None},
    "png": {"Software": None},
    "svg": {"Creator": "hydra_peft", "Date": None},
}
#: where a file says what it shows
_CAPTIONS = {"pdf": "Subject", "png": "Description", "svg": "Description"}

#: notes of one kind, at most, such as on files of runs that are not whole
MOST_NOTES = 40
#: what is saved; the report takes svg
_SAVED = ("pdf", "png")


@dataclass(frozen=True)
class FigureData:
    """Data of a figure, and the notes that belong beside it.

    Attributes:
        tables: all numbers in the picture. Table ``""`` is saved as ``<file>.csv``, another one,
            such as ``mean``, as ``<file>-mean.csv``.
        caption: what was measured on what: runs, protocol, seeds, what is left out. It stands
            beside the picture, as a text and inside of its files, never in it.
        notes: sentences for the console: numbers worth reading, and what was left out.
        facts: further small things that ``plot`` needs.
        warnings: what must be read in the picture itself, such as ``RANDOM WEIGHTS``.
    """

    tables: Mapping[str, pd.DataFrame]
    caption: str
    notes: tuple[str, ...] = ()
    facts: Mapping[str, Any] | None = None
    warnings: Sequence[str] = ()

    @property
    def table(self) -> pd.DataFrame:
        """The main table."""
        return self.tables[""]


def why_not(error: Exception) -> str:
    """Return in words why a figure is not drawn; what is no mistake of a user by its type too."""
    return str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"


@dataclass(frozen=True)
class NoSettings:
    """Of a figure that takes none."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure. Bind an instance of a subclass to ``FIGURE`` in a module of this package.

    Attributes:
        name: on the command line: ``3``, ``pareto``.
        title: one line for ``--help``, and a heading.
        plot: draws the data; called inside :func:`hydra_peft.figures._style.style`.
        settings: dataclass of ``key=value`` options, as :func:`parse_arguments` takes them: fields
            are ``int``, ``bool``, ``str`` or ``tuple[int, ...]`` and have defaults.
        options: what they mean, one ``key  meaning`` line each, for ``--help``.
    """

    name: str
    title: str
    plot: Callable[[FigureData], Picture]
    settings: type[Any] = NoSettings
    options: tuple[str, ...] = ()

    @property
    def file(self) -> str:
        """Name of its files, without ending."""
        return f"figure{self.name}" if self.name.isdigit() else self.name

    def draw(self, data: FigureData) -> Picture:
        """Return the picture of ``data``."""
        with style():
            return self.plot(data)


@dataclass(frozen=True, kw_only=True)
class RunFigure(Figure):
    """Drawn from run folders, as ``run=<folder>`` or ``run=<folder>,<folder>`` names them.

    Attributes:
        data: takes the folders, of which there is at least one, the settings, and what runs'
            settings are by default, as a collection's ``defaults``, so that labels name others.
        several: whether it takes more than one folder.
        check: takes a folder and the settings; raises :class:`UserError` where it can be seen
            without torch that they do not give the figure.
    """

    data: Callable[..., FigureData]
    several: bool = False
    check: Callable[[Path, Any], None] | None = None


@dataclass(frozen=True, kw_only=True)
class CollectionFigure(Figure):
    """Drawn from all runs below a folder, ``runs=<folder>``.

    Attributes:
        data: takes the collection and the settings; raises :class:`UserError` where these runs do
            not give the figure.
        rebuilds: whether it needs the trained models: some seconds a run, so reports go without.
    """

    data: Callable[[Collection, Any], FigureData]
    rebuilds: bool = False


def render(picture: Picture, form: str, caption: str = "") -> bytes:
    """Return ``picture`` as a file of the form ``pdf``, ``png`` (200 dots an inch) or ``svg``.

    Its ``caption`` is among what the file says of itself.
    """
    buffer = io.BytesIO()
    said = {_CAPTIONS[form]: in_one_line(caption)} if caption else {}
    with style():
        picture.savefig(buffer, format=form, metadata=_METADATA[form] | said)
    return buffer.getvalue()


def save(picture: Picture, data: FigureData, path: Path) -> list[Path]:
    """Write ``picture``, its caption and the tables of ``data`` to ``path`` with endings.

    These are ``.pdf``, ``.png``, ``.txt`` (caption and notes), ``.csv``, and ``-<name>.csv`` for
    each further table.

    Returns:
        The files.

    Raises:
        OSError: the files cannot be written.
    """
    from hydra_peft.tables.formats import to_csv

    files = {
        path.with_name(f"{path.name}.{form}"): render(picture, form, data.caption)
        for form in _SAVED
    }
    text = "\n\n".join(in_one_line(sentence) for sentence in (data.caption, *data.notes))
    files[path.with_name(f"{path.name}.txt")] = f"{text}\n".encode()
    for name, table in data.tables.items():
        ending = f"-{name}.csv" if name else ".csv"
        files[path.with_name(f"{path.name}{ending}")] = to_csv(table).encode()
    for file, content in files.items():
        atomic_write(file, content)
    return list(files)
