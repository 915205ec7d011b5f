"""Rows and tables: scores by task and seed, their means, labels and measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra_peft.config.benchmarks import Benchmark
from hydra_peft.runs.record import Record
from hydra_peft.tables.measures import Measure, mean_measure
from hydra_peft.tables.overrides import UNCHECKED
from hydra_peft.tables.summaries import Summary, summarize


@dataclass
class Row:
    """One row of a table.

    Attributes:
        name: method with sizes; says ``PARTIAL DATA`` and any precision but full.
        model: backbone name.
        weights: ``pretrained 1a2b3c4d`` or ``RANDOM WEIGHTS``.
        settings: the science apart from task and seed.
        method: what its runs share of the method's identity; a recipe may vary the rest by task.
        partial: whether its data is only a part of the tasks' images.
        overrides: what it was told beside protocol, method and model; see :mod:`overrides`.
        apart: what else tells it from its neighbours, for the end of its label.
        sources: where its weights come from.
        scores: of the primary metric, by task, then seed.
        measures: what the scores of each task are.
        heads: parameters of the head by task.
        adapter: parameters of the adapter; averaged over runs of several sizes, to sort and draw
            by: :attr:`sizes` has the sizes that there are.
        records: its runs.
        over_seeds: what its cells are of the scores of their seeds: ``mean`` or ``median``.
    """

    name: str
    model: str
    weights: str
    settings: dict[str, Any]
    method: dict[str, Any] = field(default_factory=dict)
    partial: bool = False
    overrides: tuple[str, ...] = ()
    apart: str = ""
    sources: list[str] = field(default_factory=list)
    scores: dict[str, dict[int, float]] = field(default_factory=dict)
    measures: dict[str, Measure] = field(default_factory=dict)
    heads: dict[str, int] = field(default_factory=dict)
    adapter: int = 0
    records: list[Record] = field(default_factory=list)
    over_seeds: str = "mean"

    @property
    def label(self) -> str:
        """Everything that the row is called, whatever stands around it."""
        return self.titled(self.overrides)

    @property
    def sizes(self) -> tuple[int, int]:
        """The least and the greatest adapter of its runs: tuning may choose a size by task."""
        found = [record.trained_parameters["adapter"] for record in self.records]
        return min(found, default=self.adapter), max(found, default=self.adapter)

    @property
    def of_several_sizes(self) -> bool:
        """Whether tuning or a recipe chose other sizes for some of its runs."""
        return len({record.label for record in self.records}) > 1 or len(set(self.sizes)) > 1

    def parameters(self, head: float = 0.0, spec: str = ",.0f", unit: float = 1.0) -> str:
        """Return the parameters of its adapter and a ``head`` of that size as they are printed: of
        several sizes the least and the greatest."""
        ends = [f"{(size + head) / unit:{spec}}" for size in self.sizes]
        return "-".join(dict.fromkeys(ends))

    @property
    def checked(self) -> bool:
        """Whether there was something to hold its settings against."""
        return UNCHECKED not in self.overrides

    @property
    def trains(self) -> bool:
        """Whether its runs train anything."""
        return all(record.trains for record in self.records)

    def titled(self, overrides: Sequence[str]) -> str:
        """Return the label with these of its overrides, where the others are said elsewhere."""
        return self.name + (f" ({', '.join(overrides)})" if overrides else "") + self.apart

    def cell(self, task: str) -> Summary | None:
        """Return the summary over seeds of one task; None where there is no run."""
        return self.mean({task: 1.0}) if task in self.scores else None

    def mean(self, weights: dict[str, float]) -> Summary | None:
        """Return the weighted mean of tasks, taken per seed, then summarised over seeds.

        None unless every task has a run, and all share at least one seed.
        """
        means = self.by_seed(weights)
        if not means:
            return None
        measure = mean_measure(self.measures, weights)
        return summarize(means.values(), measure.least, measure.most, over_seeds=self.over_seeds)

    def by_seed(self, weights: dict[str, float]) -> dict[int, float]:
        """Return the weighted mean of tasks by seed, of the seeds that all of them have."""
        seeds = set.intersection(*(set(self.scores.get(task, ())) for task in weights))
        return {
            seed: sum(weight * self.scores[task][seed] for task, weight in weights.items())
            for seed in sorted(seeds)
        }


@dataclass(frozen=True)
class Table:
    """Rows that may stand under each other: one benchmark, protocol, splits and selection rule.

    Splits are alike where they play one role in their tasks.

    Attributes:
        trained_on, split: what was learnt from and what was scored: the split's name, or its role
            where tasks name it differently.
        tasks: task name to group, in the order of the columns.
        measures: what the scores of each task are; all rows have the same.
        about: the benchmark's means, seeds and protocols.
    """

    benchmark: str
    protocol: str
    trained_on: str
    split: str
    selection: str
    tasks: dict[str, str]
    rows: list[Row]
    measures: dict[str, Measure]
    about: Benchmark

    @property
    def means(self) -> Mapping[str, str]:
        """Titles of its columns of means, and whether these are over ``tasks`` or ``groups``."""
        return self.about.means

    @property
    def own_measures(self) -> list[Measure]:
        """Measures of its tasks' scores, each once."""
        return list(dict.fromkeys(self.measures[task] for task in self.tasks))

    @property
    def trains(self) -> bool:
        """Whether any of its rows trains something."""
        return any(row.trains for row in self.rows)

    @property
    def learnt(self) -> str:
        """What was trained on, in words."""
        return f"trained on {self.trained_on}" if self.trains else "nothing trained"

    @property
    def rule(self) -> str:
        """Which epoch counts, after a comma; empty where there are none."""
        return f", {self.selection}" if self.trains else ""

    @property
    def selected_on_test(self) -> bool:
        """Whether the epoch was chosen by the score on the test set: no estimate of a result."""
        return any(record.selected_on_test for row in self.rows for record in row.records)

    @property
    def on_test(self) -> bool:
        """Whether all scores are of test sets."""
        return all(record.on_test for row in self.rows for record in row.records)
