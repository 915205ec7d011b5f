"""Measure of a column of scores: its metric, direction and bounds."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from hydra_peft.metrics import find_metric, metric_names
from hydra_peft.plain_text import shortened

#: digits behind the point of scores in percent, and of others
_DECIMALS, _OTHERS = 1, 4
#: characters of a name that no metric here has
_LONGEST = 40


@dataclass(frozen=True)
class Measure:
    """A metric as tables need it, or what several have in common under a mean.

    Attributes:
        title: as a table prints it.
        sign: 1 where higher is better, -1 where lower is, 0 where that is not known here.
        least, most: between which values lie; infinite where there is no bound.
    """

    title: str
    sign: int = 1
    least: float = 0.0
    most: float = 100.0

    @property
    def in_percent(self) -> bool:
        """Whether values are percent."""
        return math.isfinite(self.most)

    @property
    def unit(self) -> str:
        """Unit of a printed value: ``%`` or nothing."""
        return "%" * self.in_percent

    @property
    def scale(self) -> str:
        """Scores of one scale may be averaged: those in percent, others with their like alone."""
        return "" if self.in_percent and self.sign > 0 else self.title

    @property
    def direction(self) -> str:
        """Words on the direction; nothing where higher is better, as is usual."""
        return {1: "", -1: "lower is better", 0: "which direction is better is not known"}[
            self.sign
        ]

    @property
    def width(self) -> float:
        """The greatest difference of two values."""
        return self.most - self.least

    def decimals(self, percent: int = _DECIMALS) -> int:
        """Return how many digits to print behind the point, ``percent`` where that is the unit."""
        return percent if self.in_percent else _OTHERS

    def axis(self, where: str = "") -> str:
        """Return the title of an axis, with ``where`` it was measured."""
        said = f"{self.title}{where}"
        notes = [self.unit] * self.in_percent + [self.direction] * bool(self.direction)
        return f"{said} ({', '.join(notes)})" if notes else said


@lru_cache(maxsize=256)
def measure_of(name: str) -> Measure:
    """Return the measure of the metric ``name`` of a record, which may be none that is known."""
    if name not in metric_names():
        return Measure(shortened(name, _LONGEST), 0, -math.inf, math.inf)
    metric = find_metric(name)
    sign = 1 if metric.higher_is_better else -1
    return Measure(metric.title, sign, metric.least, metric.most)


def mean_measure(measures: Mapping[str, Measure], weights: Mapping[str, float]) -> Measure:
    """Return the measure of the weighted mean of tasks; ``measures`` are theirs."""
    found = [(measures[task], weight) for task, weight in weights.items()]
    signs = {measure.sign for measure, _ in found}
    return Measure(
        joint_title(measure for measure, _ in found),
        signs.pop() if len(signs) == 1 else 0,
        math.fsum(weight * measure.least for measure, weight in found),
        math.fsum(weight * measure.most for measure, weight in found),
    )


def axis(measures: Collection[Measure], where: str = "") -> str:
    """Return the title of an axis, or of a table, that has scores of all ``measures`` on it."""
    if len(set(measures)) == 1:
        return next(iter(measures)).axis(where)
    unit = " (%)" if all(measure.in_percent for measure in measures) else ""
    return f"{joint_title(measures)}{where}{unit}"


def joint_title(measures: Iterable[Measure]) -> str:
    """Return the title that all of ``measures`` have, ``score`` where they differ."""
    titles = {measure.title for measure in measures}
    return titles.pop() if len(titles) == 1 else "score"


def one_scale(tasks: Sequence[str], measures: Mapping[str, Measure]) -> list[str]:
    """Return those of ``tasks`` whose scores may be averaged: of the scale that most of them have.

    Of as many in percent and of another scale, those in percent.
    """
    scales: dict[str, list[str]] = {}
    for task in tasks:
        scales.setdefault(measures[task].scale, []).append(task)
    return max(scales.values(), key=lambda own: (len(own), not measures[own[0]].scale), default=[])
