"""Area under the ROC curve of a task with two classes."""

from __future__ import annotations

from hydra_peft.errors import UserError
from hydra_peft.metrics._base import Array, Metric, probabilities


def score(outputs: Array, targets: Array) -> float:
    """Return the area in percent, from the probability of class 1.

    Raises:
        UserError: there are not two classes, or ``targets`` has examples of one alone.
    """
    from sklearn.metrics import roc_auc_score

    if outputs.shape[1] != 2 or len(set(targets.tolist())) != 2:
        raise UserError(
            f"metric roc_auc is for splits with examples of two classes, not {outputs.shape[1]} "
            f"outputs and labels {sorted(set(targets.tolist()))[:5]}: choose another metric."
        )
    return 100.0 * float(roc_auc_score(targets, probabilities(outputs)[:, 1]))


METRIC = Metric("roc_auc", "ROC AUC", score, kinds=("classification",), classes=2)
