"""Learning curves of one run, from its ``metrics.csv``, in so many points as a small plot shows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from hydra_peft.runs.history import read_history
from hydra_peft.runs.record import Record

T = TypeVar("T")

#: points of a curve
MOST_POINTS = 100


@dataclass(frozen=True)
class Curves:
    """Training curves of one run.

    Attributes:
        epochs: from 1.
        losses: mean training loss of each; None where it was no finite number.
        accuracies: training accuracy in percent, likewise.
        count: how many epochs the file has.
    """

    epochs: list[int]
    losses: list[float | None]
    accuracies: list[float | None]
    count: int


def read_curves(folder: Path, record: Record | None, faults: list[str]) -> Curves | None:
    """Return the curves of the run in ``folder``; None where no epoch was over.

    A last line that is only half written and lines that are no epochs are passed over.

    Args:
        folder: the run's.
        record: as of :func:`hydra_peft.runs.history.read_history`.
        faults: gets a sentence where the file is not whole.

    Raises:
        UserError: the file is damaged or too large.
    """
    history = read_history(folder, record)
    if history is None:
        return None
    faults += [history.faults] if history.faults else []
    if not history.epochs:
        return None
    kept = thinned(list(history.epochs.items()))
    losses, accuracies = ([_finite(pair[i]) for _, pair in kept] for i in (0, 1))
    return Curves([epoch for epoch, _ in kept], losses, accuracies, len(history.epochs))


def thinned(rows: Sequence[T]) -> list[T]:
    """Return at most :data:`MOST_POINTS` of ``rows``, evenly, the first and the last among them."""
    if len(rows) <= MOST_POINTS:
        return list(rows)
    step = (len(rows) - 1) / (MOST_POINTS - 1)
    return [rows[round(i * step)] for i in range(MOST_POINTS)]


def _finite(value: float) -> float | None:
    # Four digits are more than a small plot shows.
    return float(f"{value:.4g}") if math.isfinite(value) else None
