"""The paper's tables as transcribed in ``results/paper``: numbers as printed, and their means."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from hydra_peft.errors import UserError
from hydra_peft.files import text_of
from hydra_peft.finite import decimal_number

#: how a cell without a number is written
_EMPTY = ("", "-")


@dataclass(frozen=True)
class Number:
    """One printed number.

    Attributes:
        text: as printed, so ``76.50`` and ``76.5`` differ.
        value: the same as a float.
    """

    text: str
    value: float

    @property
    def rounding(self) -> float:
        """Half a unit of the last printed digit: how far rounding may have moved the number."""
        exponent = Decimal(self.text).as_tuple().exponent
        assert isinstance(exponent, int), "NaN and infinity are refused on reading"
        return 0.5 * 10.0**exponent


@dataclass(frozen=True)
class PublishedRow:
    """One row of a published table: its label, and a number (or None) by column."""

    label: str
    numbers: dict[str, Number | None]

    def mean(self, weights: dict[str, float]) -> float | None:
        """Return the weighted mean of the named cells; None unless all of them are printed."""
        cells = {column: self.numbers.get(column) for column in weights}
        if not cells or any(cell is None for cell in cells.values()):
            return None
        return sum(weights[column] * cell.value for column, cell in cells.items() if cell)

    def is_explained(self, printed: Number, weights: dict[str, float]) -> bool:
        """Whether rounding alone may lie between ``printed`` and the mean of the printed cells.

        True where no such mean can be taken.
        """
        mean = self.mean(weights)
        if mean is None:
            return True
        cells = [(weights[column], self.numbers[column]) for column in weights]
        rounding = sum(weight * cell.rounding for weight, cell in cells if cell)
        # The last term is for floating point: a difference of exactly the bound is allowed.
        return abs(printed.value - mean) <= printed.rounding + rounding + 1e-9


@dataclass(frozen=True)
class PublishedTable:
    """One published table.

    Attributes:
        path: the file it was read from, for messages.
        columns: names of the columns after the first one, which holds the labels.
        rows: in the paper's order; labels may repeat.
    """

    path: Path
    columns: tuple[str, ...]
    rows: tuple[PublishedRow, ...]

    def key(self, row: PublishedRow) -> str:
        """Return a unique name of ``row``: its label, with its parameters where others share it."""
        parameters = row.numbers.get("params_m")
        alone = sum(other.label == row.label for other in self.rows) == 1
        return row.label if alone or not parameters else f"{row.label}, {parameters.text} M"


def read_published(path: Path) -> PublishedTable:
    """Read one of the csv files in ``results/paper``: labels first, then numbers.

    Raises:
        UserError: the file is missing or damaged.
    """
    text = text_of(path)
    lines = [line for line in csv.reader(io.StringIO(text)) if line]
    if len(lines) < 2 or len(set(lines[0])) != len(lines[0]):
        raise UserError(f"{path} is not a table with distinct column names and rows: edited?")
    columns = tuple(lines[0][1:])
    rows = []
    for line in lines[1:]:
        if len(line) != len(columns) + 1:
            raise UserError(f"{path} has {len(line)} cells in row '{line[0]}': edited?")
        cells = zip(columns, line[1:], strict=True)
        numbers = {column: _number(cell.strip(), column, path) for column, cell in cells}
        rows.append(PublishedRow(line[0], numbers))
    return PublishedTable(path, columns, tuple(rows))


def _number(text: str, column: str, path: Path) -> Number | None:
    if text in _EMPTY:
        return None
    try:
        value = decimal_number(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"{path} has '{text}' in column {column} where a number was expected.")
    return Number(text, value)
