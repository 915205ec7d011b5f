"""Means and medians over seeds, their spread and intervals, and how tasks weigh in a mean."""

from __future__ import annotations

import dataclasses
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hydra_peft.analysis.intervals import bounded_interval, median_interval, t_half_width


@dataclass(frozen=True)
class Summary:
    """Mean and sample standard deviation (None for one seed) over ``count`` seeds.

    Attributes:
        least, most: the lowest and the highest value that there can be: 0 and 100 for shares in
            percent.
    """

    value: float
    std: float | None
    count: int
    least: float = 0.0
    most: float = 100.0

    @property
    def mean_beside(self) -> float | None:
        """The mean, where ``value`` is another: of a :class:`Median` of several values."""
        return None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95% interval of the mean, between ``least`` and ``most``; None for one seed.

        See :func:`~hydra_peft.analysis.intervals.bounded_interval`.
        """
        if self.std is None:
            return None
        return bounded_interval(self.value, self.std, self.count, self.least, self.most)

    def scaled(self, factor: float) -> Summary:
        """Return the summary of all values times ``factor``, which is positive."""
        std = None if self.std is None else self.std * factor
        least, most = self.least * factor, self.most * factor
        value = self.value * factor
        return dataclasses.replace(self, value=value, std=std, least=least, most=most)


@dataclass(frozen=True)
class Median(Summary):
    """The same with the median of ``values`` in the place of their mean."""

    values: tuple[float, ...] = ()

    @property
    def mean_beside(self) -> float | None:
        """The mean of several values."""
        return statistics.fmean(self.values) if len(self.values) > 1 else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """An interval of the median, at 95% at least; None for fewer than six seeds.

        See :func:`~hydra_peft.analysis.intervals.median_interval`.
        """
        return median_interval(self.values)

    def scaled(self, factor: float) -> Median:
        """Return the summary of all values times ``factor``, which is positive."""
        values = tuple(value * factor for value in self.values)
        return Median(**{**vars(super().scaled(factor)), "values": values})


class Difference(Summary):
    """The same of differences; of shares in percent they lie between -100 and 100."""

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95% interval by Student's t, that of a paired t-test, cut at the bounds."""
        if self.std is None:
            return None
        half = t_half_width(self.std, self.count)
        return max(self.least, self.value - half), min(self.most, self.value + half)


def summarize(
    values: Iterable[float], least: float = 0.0, most: float = 100.0, *, over_seeds: str = "mean"
) -> Summary:
    """Return the :class:`Summary` of scores between ``least`` and ``most``, at least one.

    ``over_seeds`` is ``mean``, or ``median`` for a :class:`Median`.
    """
    numbers = tuple(values)
    std = statistics.stdev(numbers) if len(numbers) > 1 else None
    rest = (std, len(numbers), least, most)
    if over_seeds == "median":
        return Median(statistics.median(numbers), *rest, numbers)
    return Summary(statistics.fmean(numbers), *rest)


def summarize_differences(values: Iterable[float], width: float = 100.0) -> Difference:
    """Return the :class:`Difference` of differences between -``width`` and ``width``."""
    return Difference(**vars(summarize(values, -width, width)))


def weights_over(over: str, tasks: Mapping[str, str]) -> dict[str, float]:
    """Return the weight of each task in a mean over ``tasks`` or over their ``groups``."""
    return {"tasks": task_weights, "groups": group_weights}[over](tasks)


def task_weights(tasks: Mapping[str, str]) -> dict[str, float]:
    """Return the weight of each task in the plain mean over all ``tasks``."""
    return {task: 1.0 / len(tasks) for task in tasks}


def group_weights(tasks: Mapping[str, str]) -> dict[str, float]:
    """Return the weight of each task in the mean of the groups' means; task to group is given."""
    sizes = Counter(tasks.values())
    return {task: 1.0 / (len(sizes) * sizes[group]) for task, group in tasks.items()}
