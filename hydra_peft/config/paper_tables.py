"""Specs of a paper's tables: which numbers each prints of a benchmark, and whose runs stand beside.

A benchmark's yaml has them under ``paper``; a further table is one more entry there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Annotated, Any

from hydra_peft.errors import UserError
from hydra_peft.limits import Limits, check_limits

_KEY = re.compile(r"table(\d{1,4})")


@dataclass(frozen=True)
class ScoreTable:
    """One table of scores and how to fill it.

    Attributes:
        title: what the table shows, in a few words.
        csv: file in ``results/paper``, or an absolute path.
        average: the csv's column of the printed average.
        rows: key of a published row (its label; with the parameters where labels repeat) to the
            items of ``Record.method`` that its runs have. Methods that ``hydra_peft.methods`` does
            not have are named here as it will have them; until then such rows are the paper's
            alone.
        experiment: the yaml in ``conf/experiment`` that trains the table; variants of methods that
            it names are the table's own.
        apart: keys of ``rows`` that this experiment does not train.
        with_head: keys of ``rows`` whose printed parameters include the mean head, as those of
            figure ``pareto`` do, which shows them.
        pe: the csv's column of the PE score, where the table has one.
        summary_of: the table whose rows, experiment and notes are this one's too, which prints
            their average only; empty where it prints tasks.
        notes: what a reader of this comparison should know.
    """

    title: str
    csv: str
    average: str = ""
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    experiment: str = ""
    apart: list[str] = field(default_factory=list)
    with_head: list[str] = field(default_factory=list)
    pe: str | None = None
    summary_of: str = ""
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Check that the table has rows of its own or another's, and names no others.

        Raises:
            UserError: it does not.
        """
        if bool(self.summary_of) == bool(self.rows and self.experiment):
            raise UserError(
                f"the table '{self.title}' needs either rows and experiment, or summary_of."
            )
        for row in (*self.apart, *self.with_head):
            if row not in self.rows:  # of a summary the whole table has them
                raise UserError(f"the table '{self.title}' has no row '{row}'.")
        if unnamed := [key for key, items in self.rows.items() if "name" not in items]:
            raise UserError(
                f"row '{unnamed[0]}' of the table '{self.title}' needs the method's name, as in "
                "{name: lora}."
            )


@dataclass(frozen=True)
class HyperparameterTable:
    """One table of hyper-parameters; ``csv`` has a line for each task.

    Attributes are those of :class:`ScoreTable`.
    """

    title: str
    csv: str
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class DatasetTable:
    """One table of data sets.

    Attributes:
        tasks: printed name to the task's; null where the benchmark has no such task.
    """

    title: str
    csv: str
    tasks: dict[str, str | None]


@dataclass(frozen=True)
class Paper:
    """Shared part of a paper's tables of one benchmark, and the tables by ``table<number>``.

    Attributes:
        model: backbone of the paper's rows; measured rows on others say so in their label.
        checkpoint: usual file name of the backbone's weights; null where they come from the hub.
        decimals: of the paper's cells.
        metrics: the primary metric that the paper prints of a task, where it is not accuracy.
        scores, hyperparameters, data_sets: the tables.
    """

    model: str = ""
    checkpoint: str | None = None
    decimals: Annotated[int, Limits(least=0, most=9)] = 1
    metrics: dict[str, str] = field(default_factory=dict)
    scores: dict[str, ScoreTable] = field(default_factory=dict)
    hyperparameters: dict[str, HyperparameterTable] = field(default_factory=dict)
    data_sets: dict[str, DatasetTable] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the names of tables.

        Raises:
            UserError: one is no ``table<number>``, or summarises a table that is not there.
        """
        check_limits(Paper, vars(self), "benchmark.paper.")
        if bad := [key for key in self.tables if not _KEY.fullmatch(key)]:
            raise UserError(f"'{bad[0]}' names no table of a paper: give its number, as in table8.")
        for key, table in self.scores.items():
            if table.summary_of and not self.scores.get(table.summary_of, table).rows:
                raise UserError(
                    f"{key} is summary_of={table.summary_of}: it must be one of paper.scores that "
                    "has rows."
                )

    @property
    def tables(self) -> dict[str, ScoreTable | HyperparameterTable | DatasetTable]:
        """All tables."""
        return {**self.scores, **self.hyperparameters, **self.data_sets}

    def metric(self, task: str) -> str:
        """Return the name of the metric that the paper prints of ``task``."""
        return self.metrics.get(task, "accuracy")
