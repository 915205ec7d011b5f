"""Learning curves of one run, from its ``metrics.csv``, in so many points as a small plot shows."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra_peft.errors import UserError
from hydra_peft.report.run_files import read_text
from hydra_peft.runs.folder import METRICS

#: points of a curve
MOST_POINTS = 100
#: 100 epochs are 10 kB
MAX_BYTES = 2 * 2**20


@dataclass(frozen=True)
class Curves:
    """What training went through.

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


def read_curves(folder: Path) -> Curves | None:
    """Return the curves of the run in ``folder``; None where no epoch was over.

    A last line that is only half written is passed over.

    Raises:
        UserError: the file is damaged or too large.
    """
    path = folder / METRICS
    text = read_text(path, MAX_BYTES)
    if text is None:
        return None
    try:
        lines = list(csv.reader(text.rpartition("\n")[0].splitlines()))
        if len(lines) < 2:
            return None
        columns = [lines[0].index(name) for name in ("epoch", "loss", "train_accuracy")]
        rows = [[line[column] for column in columns] for line in lines[1:]]
        kept = thinned(rows)
        epochs = [int(row[0]) for row in kept]
        losses, accuracies = ([_finite(row[i]) for row in kept] for i in (1, 2))
    except (ValueError, IndexError, csv.Error):
        raise UserError(f"{path} is damaged: its curves are not shown.") from None
    return Curves(epochs, losses, accuracies, len(rows))


def thinned(rows: Sequence[list[str]]) -> list[list[str]]:
    """Return at most :data:`MOST_POINTS` of ``rows``, evenly, the first and the last among them."""
    if len(rows) <= MOST_POINTS:
        return list(rows)
    step = (len(rows) - 1) / (MOST_POINTS - 1)
    return [rows[round(i * step)] for i in range(MOST_POINTS)]


def _finite(text: str) -> float | None:
    value = float(text)
    # Four digits are more than a small plot shows.
    return float(f"{value:.4g}") if math.isfinite(value) else None
