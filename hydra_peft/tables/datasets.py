"""The paper's tables of data sets (14 and 15) beside what the task definitions expect."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from hydra_peft.config.benchmarks import Benchmark
from hydra_peft.config.paper_tables import DatasetTable
from hydra_peft.errors import UserError
from hydra_peft.tables.formats import render
from hydra_peft.tables.published import Number, PublishedRow, PublishedTable
from hydra_peft.tables.sheet import Sheet

#: the csv's column to the title that the paper prints
TITLES = {"labels": "#labels", "train_size": "Train size", "test_size": "Test size"}
#: the same of each task, by the csv's column
Found = Mapping[str, Mapping[str, int]]


def documents(
    number: int,
    benchmark: Benchmark,
    spec: DatasetTable,
    published: PublishedTable,
    found: Found,
    form: str,
) -> dict[str, str]:
    """Return the whole text of each file of ``form``, by ending; the first is to be printed.

    Args:
        number: the table's number in the paper.
        benchmark: whose data sets it has.
        spec: the table.
        published: its numbers.
        found: what the task definitions say, by task; empty where there are none.
        form: one of :data:`~hydra_peft.tables.formats.FORMATS`.

    Raises:
        UserError: the published table has other data sets than the spec.
    """
    if [row.label for row in published.rows] != list(spec.tasks):
        raise UserError(f"{published.path} has not the data sets of Table {number}: edited?")
    return render(
        [_sheet(number, benchmark, spec, published, found)],
        lambda: _frame(number, benchmark, spec, published, found),
        [],
        form,
    )


def _sheet(
    number: int, benchmark: Benchmark, spec: DatasetTable, published: PublishedTable, found: Found
) -> Sheet:
    lines = []
    differing: list[str] = []
    for row in published.rows:
        ours = found.get(spec.tasks[row.label] or "", {})
        line = {"dataset": row.label}
        for column, title in TITLES.items():
            cell, value = _cell(row, column), ours.get(column)
            line[f"{title} (paper)" if found else title] = (
                "-" if cell is None else _count(cell.value)
            )
            if found:
                line[f"{title} (here)"] = "-" if value is None else _count(value)
            if cell and value is not None and value != cell.value:
                differing.append(
                    f"{row.label}: {title[:1].lower()}{title[1:]} is {_count(cell.value)} in the "
                    f"paper, {_count(value)} here."
                )
        lines.append(line)
    here = "what conf/dataset says and runs check."
    if not found:
        here = f"conf has no benchmark {benchmark.name} yet to compare with."
    below = [f"paper: arXiv 2309.06922 as printed. here: {here}", *differing]
    strange = [name for name, task in spec.tasks.items() if not task]
    if strange:
        below.append(f"no table of scores has a column for {', '.join(strange)}.")
    return Sheet(f"Table {number} of the paper ({spec.title})", pd.DataFrame(lines), below=below)


def _cell(row: PublishedRow, column: str) -> Number | None:
    return row.numbers.get(column)


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _frame(
    number: int, benchmark: Benchmark, spec: DatasetTable, published: PublishedTable, found: Found
) -> pd.DataFrame:
    lines = []
    for row in published.rows:
        task = spec.tasks[row.label]
        for column in TITLES:
            cell = _cell(row, column)
            lines.append(
                {
                    "table": number,
                    "benchmark": benchmark.name,
                    "dataset": row.label,
                    "task": task,
                    "quantity": column,
                    "paper": int(cell.value) if cell else None,
                    "here": found.get(task or "", {}).get(column),
                }
            )
    return pd.DataFrame(lines).astype({"paper": "Int64", "here": "Int64"})
