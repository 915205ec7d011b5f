"""Summary of a collection: its runs, and the leading row of each table as far as seeds tell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hydra_peft.plain_text import in_a_row, rounded, rounded_end
from hydra_peft.report.run_lines import RunLine
from hydra_peft.tables.labels import weights_label
from hydra_peft.tables.measures import Measure
from hydra_peft.tables.parts import Part, parts
from hydra_peft.tables.rows import Table
from hydra_peft.tables.signed_rank import TOLERANCE
from hydra_peft.tables.summaries import (
    Difference,
    Median,
    Summary,
    summarize,
    summarize_differences,
)

#: rows that a sentence on the order names, of each kind
_NAMED = 4


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
    difference: Difference

    @property
    def order(self) -> int:
        """1 or -1 where the interval of the difference is above or below zero, else 0."""
        low, high = self.difference.interval or (0.0, 0.0)
        return (low > TOLERANCE) - (high < -TOLERANCE)


@dataclass(frozen=True)
class Leader:
    """The row with the best mean among those on one backbone with one set of weights.

    Attributes:
        where: the table, in a few words.
        backbone: model and weights.
        label: the row's; empty where no row has all tasks.
        mean: the benchmark's main mean, as tables have it.
        measure: what the mean is of.
        rivals: the other complete rows with a common seed, nearest first.
        strangers: labels of the complete rows without one.
        sentences: what all rows share in settings, and what the mean is over if not over all tasks.
        unchecked: labels of rows that do not compete: nothing was there to hold their settings
            against. Only where no other row is there may one of them lead.
        checked: whether the leader is none of those.
        mean_title: what the mean is called.
        equals: labels of the other rows with the same mean.
    """

    where: str
    backbone: str
    label: str
    mean: Summary | None
    rivals: list[Rival]
    selected_on_test: bool
    measure: Measure
    strangers: tuple[str, ...] = ()
    sentences: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()
    checked: bool = True
    mean_title: str = ""
    equals: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """Sentence on the order of the rows that the seeds support."""
        if not self.measure.sign:
            return (
                f"Whether a higher {self.measure.title} is better is not known: no order is shown."
            )
        if self.mean is None:
            return "No row has all tasks with a common seed: there is no mean to compare."
        left_out = (
            f" Not compared, as settings were not checked: {in_a_row(self.unchecked)}."
            if self.unchecked
            else ""
        )
        return self._order + left_out

    @property
    def _order(self) -> str:
        if not self.rivals and not self.strangers:
            return "The only row that has these tasks: nothing to compare it with."
        if self.rivals and all(rival.difference.interval is None for rival in self.rivals):
            best = f"{self._best} in one seed{self._together}"
            return f"{best}. One seed has no interval, so no order is shown."
        listed = {
            "ahead of": [rival.label for rival in self.rivals if rival.order > 0],
            "not separated from": [
                rival.label
                for rival in self.rivals
                if rival.order == 0 and rival.label not in self.equals
            ],
            "in common seeds behind": [rival.label for rival in self.rivals if rival.order < 0],
            "without a common seed with": self.strangers,
        }
        parts = [f"{words} {_some(labels)}" for words, labels in listed.items() if labels]
        said = f"; {' and '.join(parts)}" if parts else ""
        kind = "median" if isinstance(self.mean, Median) else "mean"
        return f"{self._best} {kind}{self._together}{said}."

    @property
    def _best(self) -> str:
        return "Lowest" if self.measure.sign < 0 else "Highest"

    @property
    def _together(self) -> str:
        return f", together with {_some(self.equals)}" if self.equals else ""

    def shown(self, value: float, digits: int = 1) -> str:
        """Return a score of it as it is printed, ``digits`` behind the point if in percent."""
        return rounded(value, self.measure.decimals(digits))

    def gain(self, value: float) -> str:
        """Return a difference of scores as it is printed, with its sign."""
        return rounded(value, self.measure.decimals(2), sign=True)

    def gain_end(self, value: float) -> str:
        """Return an end of the interval of a difference as it is printed."""
        return rounded_end(value, self.measure.decimals(2))


def _some(labels: Sequence[str]) -> str:
    """Return the first of ``labels``, and how many there are beside them."""
    more = len(labels) - _NAMED
    listed = in_a_row(labels if more <= 1 else labels[:_NAMED])
    return f"{listed} and {more} more" if more > 1 else listed


def facts(lines: Iterable[RunLine]) -> list[Fact]:
    """Return backbones, protocols, code, hardware of the runs, most frequent values first."""
    counts: dict[str, Counter[str]] = {}

    def count(name: str, value: object) -> None:
        counts.setdefault(name, Counter())[str(value)] += 1

    for line in lines:
        record = line.record
        count("Benchmarks", record.benchmark)
        count("Methods", record.label)
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
    """Return the leader of each table and backbone.

    Those of rows whose settings were not checked follow the others; those without any are last.
    """
    found = [_leader(part) for table in tables for part in parts(table)]
    return sorted(found, key=lambda leader: (leader.mean is None, not leader.checked))


def _leader(part: Part) -> Leader:
    table = part.table
    where = f"{table.benchmark}, protocol {table.protocol}, {table.split}"
    rows = list(zip(part.labels, table.rows, strict=True))
    checked = [(label, row) for label, row in rows if row.checked]
    unchecked = tuple(label for label, row in rows if not row.checked and checked)
    by_seed = {label: row.by_seed(part.main_weights) for label, row in checked or rows}
    means = {label: found for label, found in by_seed.items() if found}
    on_test, sentences = table.selected_on_test, tuple(part.sentences)
    measure = part.measures[-1]
    if not means or not measure.sign:
        return Leader(where, part.backbone, "", None, [], on_test, measure, checked=bool(checked))
    summed = {
        label: summarize(
            found.values(), measure.least, measure.most, over_seeds=table.about.over_seeds
        )
        for label, found in means.items()
    }
    best = max(means, key=lambda label: measure.sign * summed[label].value)
    equals = [
        label
        for label, one in summed.items()
        if label != best and abs(one.value - summed[best].value) <= TOLERANCE
    ]
    rivals, strangers = [], []
    for label, found in means.items():
        shared = sorted(means[best].keys() & found.keys())
        if label != best and not shared:
            strangers.append(label)
        elif label != best:
            differences = [measure.sign * (means[best][seed] - found[seed]) for seed in shared]
            rivals.append(Rival(label, summarize_differences(differences, measure.width)))
    rivals.sort(key=lambda rival: rival.difference.value)
    return Leader(
        where,
        part.backbone,
        best,
        summed[best],
        rivals,
        on_test,
        measure,
        tuple(strangers),
        sentences,
        unchecked,
        bool(checked),
        part.mean_titles[-1],
        tuple(equals),
    )
