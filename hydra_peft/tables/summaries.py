"""Means over seeds with their spread and their intervals, and how tasks weigh in a mean."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from hydra_peft.analysis.intervals import bounded_interval, t_half_width


@dataclass(frozen=True)
class Summary:
    """Mean and sample standard deviation (None for one seed) over ``count`` seeds.

    Attributes:
        most: the highest value that there can be: 100 for percent.
    """

    mean: float
    std: float | None
    count: int
    most: float = 100.0

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95% interval of the mean, between 0 and ``most``; None for one seed.

        See :func:`~hydra_peft.analysis.intervals.bounded_interval`.
        """
        if self.std is None:
            return None
        return bounded_interval(self.mean, self.std, self.count, self.most)

    def scaled(self, factor: float) -> Summary:
        """Return the summary of all values times ``factor``, which is positive."""
        std = None if self.std is None else self.std * factor
        return Summary(self.mean * factor, std, self.count, self.most * factor)


class Difference(Summary):
    """The same of differences, in percent points: from -100 to 100."""

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95% interval by Student's t, that of a paired t-test, cut at -100 and 100."""
        if self.std is None:
            return None
        half = t_half_width(self.std, self.count)
        return max(-self.most, self.mean - half), min(self.most, self.mean + half)


def summarize(values: Iterable[float]) -> Summary:
    """Return the :class:`Summary` of accuracies in percent, of which there is at least one."""
    numbers = list(values)
    std = statistics.stdev(numbers) if len(numbers) > 1 else None
    return Summary(statistics.fmean(numbers), std, len(numbers))


def summarize_differences(values: Iterable[float]) -> Difference:
    """Return the :class:`Difference` of differences in percent points, at least one."""
    found = summarize(values)
    return Difference(found.mean, found.std, found.count)


def task_weights(tasks: dict[str, str]) -> dict[str, float]:
    """Return the weight of each task in the plain mean over all ``tasks``."""
    return {task: 1.0 / len(tasks) for task in tasks}


def group_weights(tasks: dict[str, str]) -> dict[str, float]:
    """Return the weight of each task in the mean of the groups' means; task to group is given."""
    sizes = Counter(tasks.values())
    return {task: 1.0 / (len(sizes) * sizes[group]) for task, group in tasks.items()}
