"""Mean per-class accuracy: the average of the classes' recalls, as ELEVATER scores four tasks."""

from __future__ import annotations

from hydra_peft.metrics._base import Array, Metric


def score(outputs: Array, targets: Array) -> float:
    """Return the mean recall in percent over the classes that ``targets`` has examples of."""
    import warnings

    from sklearn.metrics import balanced_accuracy_score

    with warnings.catch_warnings():
        # Predicting a class without an example is a mistake of the model's, not of the data's.
        warnings.filterwarnings("ignore", message="y_pred contains classes not in y_true")
        return 100.0 * float(balanced_accuracy_score(targets, outputs.argmax(axis=1)))


METRIC = Metric("mean_per_class", "mean per class", score, kinds=("classification",))
