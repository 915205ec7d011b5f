"""Two rows of a table against each other: differences by task, seed by seed."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

from hydra_peft.tables.rows import Row, Table
from hydra_peft.tables.signed_rank import TOLERANCE, SignedRank, signed_rank
from hydra_peft.tables.summaries import Difference, summarize_differences


@dataclass(frozen=True)
class Pair:
    """Two rows of one table on the same backbone.

    Attributes:
        first, second: labels.
        differences: first - second in percent points by task, then by seed that both have.
        left_out: tasks that the rows do not share a seed on.
    """

    first: str
    second: str
    differences: Mapping[str, Mapping[int, float]]
    left_out: list[str]

    def mean(self, task: str) -> float:
        """Return the mean difference on ``task`` over the shared seeds."""
        return statistics.fmean(self.differences[task].values())

    def seeds_won(self, task: str) -> tuple[int, int, int]:
        """Return on how many seeds the first row is better, equal and worse."""
        return _won(self.differences[task].values())

    @property
    def tasks_won(self) -> tuple[int, int, int]:
        """On how many tasks the first row is better, equal and worse, by its mean difference."""
        return _won(self.mean(task) for task in self.differences)

    @property
    def over_tasks(self) -> Difference | None:
        """The mean difference over all tasks, taken per seed; None without a seed of all tasks."""
        seeds = set.intersection(*(set(found) for found in self.differences.values()))
        if not seeds:
            return None
        return summarize_differences(
            statistics.fmean(found[seed] for found in self.differences.values())
            for seed in sorted(seeds)
        )

    @property
    def test(self) -> SignedRank:
        """Wilcoxon's signed-rank test over the tasks' mean differences."""
        return signed_rank([self.mean(task) for task in self.differences])


def _won(differences: Iterable[float]) -> tuple[int, int, int]:
    found = list(differences)
    won = sum(d > TOLERANCE for d in found)
    lost = sum(d < -TOLERANCE for d in found)
    return won, len(found) - won - lost, lost


def pairs(table: Table, rows: Mapping[str, Row]) -> list[Pair]:
    """Return all pairs of ``rows`` (by label) that share backbone, weights and extent of data.

    Pairs without a task in common are left out.
    """
    found = []
    for (name, row), (other_name, other) in combinations(rows.items(), 2):
        if (row.model, row.weights, row.partial) != (other.model, other.weights, other.partial):
            continue
        differences = {}
        for task in table.tasks:
            ours, theirs = row.scores.get(task, {}), other.scores.get(task, {})
            shared = sorted(ours.keys() & theirs.keys())
            if shared:
                differences[task] = {seed: ours[seed] - theirs[seed] for seed in shared}
        if differences:
            left_out = [task for task in table.tasks if task not in differences]
            found.append(Pair(name, other_name, differences, left_out))
    return found
