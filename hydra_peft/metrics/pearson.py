"""Pearson correlation of predicted and true values."""

from __future__ import annotations

import numpy as np

from hydra_peft.metrics._base import Array, Metric


def score(outputs: Array, targets: Array) -> float:
    """Return 100 times the coefficient; 0 where all predictions or all targets are equal."""
    from scipy.stats import pearsonr

    values = outputs.astype(np.float64).reshape(len(targets))
    if np.ptp(values) == 0 or np.ptp(targets) == 0:
        return 0.0  # not defined: there is nothing that varies together
    return 100.0 * float(pearsonr(values, targets.astype(np.float64)).statistic)


METRIC = Metric("pearson", "Pearson", score, kinds=("regression",), least=-100.0)
