"""Tables of what rows cost, as a page shows them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hydra_peft.tables.costs import sheet
from hydra_peft.tables.parts import parts
from hydra_peft.tables.rows import Table
from hydra_peft.tables.sheet import BEST


@dataclass(frozen=True)
class CostTable:
    """One table: texts of its cells by row, the method first, each with whether it is bold."""

    title: str
    above: list[str]
    columns: list[str]
    rows: list[list[tuple[str, bool]]]
    below: list[str]


def cost_tables(tables: Iterable[Table], sizes: Mapping[int, int]) -> list[CostTable]:
    """Return the costs of each part of ``tables`` that has several rows.

    Args:
        tables: measured rows.
        sizes: bytes of the adapter's file of a run, by the ``id`` of its record.
    """
    found = [part for table in tables for part in parts(table)]
    sheets = [sheet(part, sizes) for part in found if len(part.table.rows) > 1]
    return [
        CostTable(
            one.title,
            list(one.above),
            [str(column) for column in one.cells.columns],
            [
                [
                    (text, one.marks.get((number, column)) == BEST)
                    for column, text in zip(one.cells.columns, cells, strict=True)
                ]
                for number, cells in enumerate(one.cells.itertuples(index=False, name=None))
            ],
            list(one.below),
        )
        for one in sheets
    ]
