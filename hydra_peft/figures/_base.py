"""What a figure is: where its numbers come from, and how they are drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra_peft.errors import UserError
from hydra_peft.figures._style import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure as Picture

    from hydra_peft.runs.collection import Collection


@dataclass(frozen=True)
class FigureData:
    """What a figure is drawn from, and what belongs beside it.

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
        settings: dataclass of ``key=value`` options, as :func:`parse_settings` takes them: fields
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
        data: takes the folders, of which there is at least one, and the settings.
        several: whether it takes more than one folder.
    """

    data: Callable[[Sequence[Path], Any], FigureData]
    several: bool = False


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
