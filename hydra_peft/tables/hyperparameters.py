"""The paper's tables of hyper-parameters (11 to 13) beside what ``conf`` has today."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from hydra_peft.config.benchmarks import Benchmark
from hydra_peft.config.paper_tables import HyperparameterTable
from hydra_peft.errors import UserError
from hydra_peft.tables.formats import render
from hydra_peft.tables.published import Number, PublishedTable
from hydra_peft.tables.sheet import Sheet

#: the csv's column to the title that the paper prints
TITLES = {
    "batch_size": "Batch size",
    "epochs": "Epochs",
    "learning_rate": "Learning rate",
    "weight_decay": "Weight decay",
    "dropout": "Dropout",
}
#: hyper-parameters of each task by the csv's column
Found = Mapping[str, Mapping[str, float]]


def documents(
    number: int,
    benchmark: Benchmark,
    spec: HyperparameterTable,
    published: PublishedTable,
    found: Found,
    where: str,
    form: str,
) -> dict[str, str]:
    """Return the whole text of each file of ``form``, by ending; the first is to be printed.

    Args:
        number: the table's number in the paper.
        benchmark: whose tasks its columns are.
        spec: the table.
        published: its numbers.
        found: what ``conf`` has; tasks that it does not have are left out.
        where: which protocol and method that is of.
        form: one of :data:`~hydra_peft.tables.formats.FORMATS`.

    Raises:
        UserError: the published table lacks a task.
    """
    numbers = {row.label: row.numbers for row in published.rows}
    lacking = [task for task in benchmark.tasks if task not in numbers]
    if lacking:
        raise UserError(f"{published.path} lacks {', '.join(lacking)}: edited?")
    columns = [column for column in published.columns if column in TITLES]
    sheet = _sheet(number, benchmark, spec, numbers, columns, found, where)
    return render([sheet], lambda: _frame(number, benchmark, numbers, columns, found), [], form)


def _sheet(
    number: int,
    benchmark: Benchmark,
    spec: HyperparameterTable,
    numbers: Mapping[str, Mapping[str, Number | None]],
    columns: list[str],
    found: Found,
    where: str,
) -> Sheet:
    lines = []
    for column in columns:
        paper, ours = _line_pair(column, benchmark, numbers, found)
        lines += [paper, ours] if found else [paper]
    below = ["paper: arXiv 2309.06922 as printed. conf: what a run without overrides takes today."]
    if found:
        compared, differing = _differences(benchmark, numbers, columns, found)
        below.append(f"conf ({where}): {compared - len(differing)} of {compared} values agree.")
        below += differing
    else:
        below.append(
            f"conf has no benchmark {benchmark.name} yet: there is nothing to compare with."
        )
    below += [f"note: {note}" for note in spec.notes]
    title = f"Table {number} of the paper ({spec.title})"
    rules = range(1, len(lines), 2) if found else ()
    return Sheet(title, pd.DataFrame(lines), rules_after=rules, below=below)


def _line_pair(
    column: str,
    benchmark: Benchmark,
    numbers: Mapping[str, Mapping[str, Number | None]],
    found: Found,
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the paper's line of one hyper-parameter and that of conf."""
    paper = {"hyper-parameter": f"{TITLES[column]} (paper)"}
    ours = {"hyper-parameter": f"{TITLES[column]} (conf)"}
    for task, title in benchmark.titles.items():
        cell, value = numbers[task].get(column), found.get(task, {}).get(column)
        paper[title] = cell.text if cell else "-"
        ours[title] = "-" if value is None else f"{value:g}"
        if cell and value == cell.value:
            ours[title] = cell.text  # 5e-4 beside 5e-4, not 0.0005
    return paper, ours


def _differences(
    benchmark: Benchmark,
    numbers: Mapping[str, Mapping[str, Number | None]],
    columns: list[str],
    found: Found,
) -> tuple[int, list[str]]:
    """Return the number of common values, and a sentence for each that differs."""
    compared, sentences = 0, []
    for column in columns:
        for task, title in benchmark.titles.items():
            cell, value = numbers[task].get(column), found.get(task, {}).get(column)
            if cell is None or value is None:
                continue
            compared += 1
            if value != cell.value:
                name = TITLES[column].lower()
                sentences.append(f"{title}: {name} is {cell.text} in the paper, {value:g} in conf.")
    return compared, sentences


def _frame(
    number: int,
    benchmark: Benchmark,
    numbers: Mapping[str, Mapping[str, Number | None]],
    columns: list[str],
    found: Found,
) -> pd.DataFrame:
    lines = []
    for column in columns:
        for task in benchmark.tasks:
            cell, value = numbers[task].get(column), found.get(task, {}).get(column)
            lines.append(
                {
                    "table": number,
                    "benchmark": benchmark.name,
                    "task": task,
                    "hyperparameter": column,
                    "paper": cell.value if cell else None,
                    "conf": value,
                }
            )
    return pd.DataFrame(lines)
