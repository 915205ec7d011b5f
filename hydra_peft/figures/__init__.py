"""The figures, found by name: one module each, its figure bound to ``FIGURE``.

A module names itself on the command line, says what it is drawn from, and has two steps: ``data``
computes tables, ``plot`` draws them. A report takes the same two steps::

    figure = find_figure("pareto")
    data = figure.data(collect(runs), figure.settings())
    svg = render(figure.draw(data), "svg")

Importing this, or a figure's module, loads neither matplotlib nor pandas.
"""

from __future__ import annotations

import sys

from hydra_peft.errors import check_one_of
from hydra_peft.figures._base import (
    CollectionFigure,
    Figure,
    FigureData,
    RunFigure,
    render,
    save,
    why_not,
)
from hydra_peft.registry import all_modules

__all__ = [
    "CollectionFigure",
    "Figure",
    "FigureData",
    "RunFigure",
    "all_figures",
    "find_figure",
    "render",
    "save",
    "why_not",
]


def all_figures() -> list[Figure]:
    """Return every figure, the paper's first, then by name."""
    figures: list[Figure] = [module.FIGURE for module in all_modules(sys.modules[__name__])]
    return sorted(figures, key=lambda figure: (not figure.name.isdigit(), figure.name))


def find_figure(name: str) -> Figure:
    """Return the figure called ``name``.

    Raises:
        UserError: no figure has that name.
    """
    figures = {figure.name: figure for figure in all_figures()}
    check_one_of("figure", name, figures)
    return figures[name]
