"""Rows that differ in nothing but their ranks: one series of a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hydra_peft.figures._sheets import Sheet

if TYPE_CHECKING:
    from hydra_peft.tables.rows import Row

_RANKS = ("method.rank", "method.rank_parallel", "method.rank_sequential")


def series_of(sheet: Sheet) -> dict[str, list[Row]]:
    """Return the rows of each series by its name, by rank; one row each where ranks repeat."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in sheet.table.rows:
        same = {key: value for key, value in row.settings.items() if key not in _RANKS}
        groups.setdefault((sheet.label(row, rank=False) + _shape(row), repr(same)), []).append(row)
    series: dict[str, list[Row]] = {}
    for (name, _), rows in groups.items():
        ranks = [ranks_of(row) for row in rows]
        if len(set(ranks)) == len(ranks) and name not in series:
            series[name] = sorted(rows, key=lambda row: sum(ranks_of(row)))
            continue
        for row in rows:
            series.setdefault(sheet.label(row), []).append(row)
    return series


def _shape(row: Row) -> str:
    """Say how the branches share the rank, where not equally."""
    parallel, sequential = ranks_of(row)
    if not parallel or not sequential or parallel == sequential:
        return ""
    return f" {parallel / sequential:g}:1"


def ranks_of(row: Row) -> tuple[int, int]:
    """Return the rank of the parallel and of the sequential branch; 0 where there is none."""
    return int(row.method.get("rank_parallel", 0)), int(row.method.get("rank_sequential", 0))
