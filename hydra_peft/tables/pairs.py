"""Two rows of a table against each other: differences by task, seed by seed."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

from hydra_peft.tables.measures import one_scale
from hydra_peft.tables.rows import Row, Table
from hydra_peft.tables.signed_rank import TOLERANCE, SignedRank, signed_rank
from hydra_peft.tables.summaries import Difference, summarize_differences


@dataclass(frozen=True)
class Pair:
    """Two rows of one table on the same backbone.

    Attributes:
        first, second: labels.
        differences: by how much the first is better, by task, then by seed that both have: first
            - second, of metrics where lower is better second - first.
        widths: the greatest difference that there can be, by task.
        compared: the tasks that can be compared with each other, whose scores are of one scale.
        left_out: tasks that the rows do not share a seed on.
    """

    first: str
    second: str
    differences: Mapping[str, Mapping[int, float]]
    widths: Mapping[str, float]
    compared: list[str]
    left_out: list[str]

    def mean(self, task: str) -> float:
        """Return the mean difference on ``task`` over the shared seeds."""
        return statistics.fmean(self.differences[task].values())

    def seeds_won(self, task: str) -> tuple[int, int, int]:
        """Return on how many seeds the first row is better, equal and worse."""
        return _won(self.differences[task].values())

    @property
    def seeds(self) -> list[int]:
        """The seeds that both rows have on all compared tasks: what is over tasks is of these."""
        return sorted(set.intersection(*(set(self.differences[task]) for task in self.compared)))

    @property
    def uneven(self) -> bool:
        """Whether a compared task has other seeds beside these."""
        return any(len(self.differences[task]) > len(self.seeds) for task in self.compared)

    @property
    def _means(self) -> list[float]:
        """Mean differences of the compared tasks over :attr:`seeds`; over those of each task where
        there are none."""
        seeds = self.seeds
        found = [self.differences[task] for task in self.compared]
        return [statistics.fmean([one[s] for s in seeds] or one.values()) for one in found]

    @property
    def tasks_won(self) -> tuple[int, int, int]:
        """On how many compared tasks the first row is better, equal and worse, by its mean."""
        return _won(self._means)

    @property
    def over_tasks(self) -> Difference | None:
        """The mean difference over the compared tasks, taken per seed.

        None without a seed of all of them.
        """
        if not self.seeds:
            return None
        found = [self.differences[task] for task in self.compared]
        return summarize_differences(
            [statistics.fmean(one[seed] for one in found) for seed in self.seeds],
            statistics.fmean(self.widths[task] for task in self.compared),
        )

    @property
    def test(self) -> SignedRank:
        """Wilcoxon's signed-rank test over the mean differences of the compared tasks."""
        return signed_rank(self._means)


def _won(differences: Iterable[float]) -> tuple[int, int, int]:
    found = list(differences)
    won = sum(d > TOLERANCE for d in found)
    lost = sum(d < -TOLERANCE for d in found)
    return won, len(found) - won - lost, lost


def pairs(table: Table, rows: Mapping[str, Row]) -> list[Pair]:
    """Return all pairs of ``rows`` (by label) that share backbone, weights and extent of data.

    Pairs without a task in common are left out, and so are tasks of which it is not known whether
    higher is better.
    """
    found = []
    directed = {t: table.measures[t] for t in table.tasks if table.measures[t].sign}
    for (name, row), (other_name, other) in combinations(rows.items(), 2):
        if (row.model, row.weights, row.partial) != (other.model, other.weights, other.partial):
            continue
        differences = {}
        for task in directed:
            ours, theirs = row.scores.get(task, {}), other.scores.get(task, {})
            shared = sorted(ours.keys() & theirs.keys())
            if shared:
                sign = directed[task].sign
                differences[task] = {s: sign * (ours[s] - theirs[s]) for s in shared}
        if differences:
            left_out = [task for task in directed if task not in differences]
            compared = one_scale(list(differences), directed)
            widths = {task: directed[task].width for task in differences}
            found.append(Pair(name, other_name, differences, widths, compared, left_out))
    return found
