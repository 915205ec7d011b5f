"""Mean squared error of predicted values."""

from __future__ import annotations

import math

from hydra_peft.metrics._base import Array, Metric


def score(outputs: Array, targets: Array) -> float:
    """Return the mean of the squared differences, in the targets' unit squared, not in percent."""
    import numpy as np

    errors = outputs.astype(np.float64).reshape(len(targets)) - targets.astype(np.float64)
    return float(np.mean(np.square(errors)))


METRIC = Metric(
    "mse",
    "mean squared error",
    score,
    kinds=("regression",),
    higher_is_better=False,
    most=math.inf,
)
