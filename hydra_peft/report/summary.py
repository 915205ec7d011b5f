"""What was run, and which row of each table is ahead, as far as its seeds can say."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from hydra_peft.report.run_lines import RunLine
from hydra_peft.tables.labels import PARTIAL, weights_label
from hydra_peft.tables.rows import Row, Summary, Table, group_weights, summarize


@dataclass(frozen=True)
class Fact:
    """One thing about the whole collection: its name and its values, each with a count of runs."""

    name: str
    values: list[tuple[str, int]]


@dataclass(frozen=True)
class Rival:
    """Another row, and by how much the leader is ahead of it, over the seeds that both have.

    That may be less than nothing: means are over all of a row's seeds.
    """

    label: str
    difference: Summary

    @property
    def order(self) -> int:
        """1 or -1 where the interval of the difference is above or below zero, else 0."""
        low, high = self.difference.interval or (0.0, 0.0)
        return (low > 0) - (high < 0)


@dataclass(frozen=True)
class Leader:
    """The row with the highest mean among those on one backbone with one set of weights.

    Attributes:
        where: the table, in a few words.
        backbone: model and weights.
        label: the row's; empty where no row has all tasks.
        mean: over the groups of tasks, as tables have it.
        rivals: the other complete rows with a common seed, nearest first.
        strangers: labels of the complete rows without one.
    """

    where: str
    backbone: str
    label: str
    mean: Summary | None
    rivals: list[Rival]
    selected_on_test: bool
    strangers: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """What may be said of the order, one sentence."""
        if self.mean is None:
            return "No row has all tasks with a common seed: there is no mean to compare."
        if not self.rivals and not self.strangers:
            return "The only row that has all tasks: nothing to compare it with."
        if self.rivals and all(rival.difference.interval is None for rival in self.rivals):
            return "Highest in one seed. One seed has no interval, so no order is shown."
        listed = {
            "ahead of": [rival.label for rival in self.rivals if rival.order > 0],
            "not separated from": [rival.label for rival in self.rivals if rival.order == 0],
            "in common seeds behind": [rival.label for rival in self.rivals if rival.order < 0],
            "without a common seed with": self.strangers,
        }
        parts = [f"{words} {', '.join(labels)}" for words, labels in listed.items() if labels]
        return f"Highest mean; {' and '.join(parts)}."


def facts(lines: Iterable[RunLine]) -> list[Fact]:
    """Return what the runs are made of, most frequent values first."""
    counts: dict[str, Counter[str]] = {}

    def count(name: str, value: object) -> None:
        counts.setdefault(name, Counter())[str(value)] += 1

    for line in lines:
        record = line.record
        count("Benchmarks", record.benchmark)
        count("Methods", record.method_label)
        count("Seeds", record.seed)
        count("Protocols", record.protocol)
        count("Backbones", f"{record.model}, {weights_label(record)}")
        hardware = record.hardware
        count("Hardware", hardware.get("gpu") or hardware.get("cpu") or "not recorded")
        for package in ("python", "torch", "timm"):
            count("Versions", f"{package} {record.versions.get(package, 'not recorded')}")
        commit = str(record.code.get("commit") or "not recorded")[:12]
        count("Commits", commit + (" (dirty)" if record.code.get("dirty") else ""))
    return [Fact(name, counted.most_common()) for name, counted in counts.items()]


def leaders(tables: Iterable[Table]) -> list[Leader]:
    """Return the leader of each table and backbone, those without any last."""
    found = []
    for table in tables:
        backbones: dict[tuple[str, str, bool], list[Row]] = {}
        for row in table.rows:
            backbones.setdefault((row.model, row.weights, row.partial), []).append(row)
        found += [_leader(table, rows) for rows in backbones.values()]
    return sorted(found, key=lambda leader: leader.mean is None)


def _leader(table: Table, rows: list[Row]) -> Leader:
    where = f"{table.benchmark}, protocol {table.protocol}, {table.split}"
    first = rows[0]
    backbone = f"{first.model}, {first.weights}" + (f", {PARTIAL}" if first.partial else "")
    means = {i: _by_seed(row, table) for i, row in enumerate(rows)}
    means = {i: by_seed for i, by_seed in means.items() if by_seed}
    if not means:
        return Leader(where, backbone, "", None, [], table.selected_on_test)
    best = max(means, key=lambda i: statistics.fmean(means[i].values()))
    rivals, strangers = [], []
    for i, by_seed in means.items():
        shared = sorted(means[best].keys() & by_seed.keys())
        if i != best and not shared:
            strangers.append(rows[i].label)
        elif i != best:
            differences = [means[best][seed] - by_seed[seed] for seed in shared]
            rivals.append(Rival(rows[i].label, summarize(differences)))
    rivals.sort(key=lambda rival: rival.difference.mean)
    mean = summarize(means[best].values())
    label, on_test = rows[best].label, table.selected_on_test
    return Leader(where, backbone, label, mean, rivals, on_test, tuple(strangers))


def _by_seed(row: Row, table: Table) -> dict[int, float]:
    """Return the mean over groups by seed, of the seeds that have all tasks."""
    weights = group_weights(table.tasks)
    if any(task not in row.scores for task in weights):
        return {}
    seeds = set.intersection(*(set(row.scores[task]) for task in weights))
    return {
        seed: sum(weight * row.scores[task][seed] for task, weight in weights.items())
        for seed in sorted(seeds)
    }
