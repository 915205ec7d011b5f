"""Balanced error: 100 less the mean recall over classes; lower is better."""

from __future__ import annotations

from hydra_peft.metrics import Metric
from hydra_peft.metrics.mean_per_class import score as mean_recall


def score(outputs, targets) -> float:
    """Return the balanced error in percent of ``outputs`` ``[n, classes]``."""
    return 100.0 - mean_recall(outputs, targets)


METRIC = Metric(
    "balanced_error",
    "balanced error",
    score,
    kinds=("classification",),
    higher_is_better=False,
)
