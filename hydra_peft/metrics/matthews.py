"""Matthews correlation of predicted and true classes."""

from __future__ import annotations

from hydra_peft.metrics._base import Array, Metric


def score(outputs: Array, targets: Array) -> float:
    """Return 100 times the coefficient; 0 where all predictions are of one class."""
    from sklearn.metrics import matthews_corrcoef

    return 100.0 * float(matthews_corrcoef(targets, outputs.argmax(axis=1)))


METRIC = Metric("matthews", "Matthews", score, kinds=("classification",), least=-100.0)
