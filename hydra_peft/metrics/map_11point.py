"""11-point mean average precision, the metric of PASCAL VOC 2007."""

from __future__ import annotations

import numpy as np

from hydra_peft.metrics._base import Array, Metric, probabilities

_RECALLS = np.linspace(0, 1, 11)


def score(outputs: Array, targets: Array) -> float:
    """Return the mean over classes of the 11-point interpolated average precision, in percent.

    The precision at a recall is the largest one at this recall or above (Everingham et al., *The
    PASCAL Visual Object Classes Challenge*, IJCV 2010, section 4.2). Classes without an example are
    left out. Outputs go through a softmax first, as in ELEVATER (Computer-Vision-in-the-Wild),
    which changes the ranking between examples.
    """
    scores, positives = probabilities(outputs), targets.astype(bool)
    present = np.flatnonzero(positives.any(axis=0))
    return 100.0 * float(np.mean([_average(scores[:, c], positives[:, c]) for c in present]))


def _average(scores: Array, positives: Array) -> float:
    from sklearn.metrics import precision_recall_curve

    precision, recall, _ = precision_recall_curve(positives, scores)
    # scikit-learn closes the curve with precision 1 at recall 0, which no ranking has reached.
    precision, recall = precision[:-1], recall[:-1]
    # A share such as 3/10 is not quite the float of its level.
    return float(np.mean([precision[recall >= level - 1e-9].max() for level in _RECALLS]))


METRIC = Metric("map_11point", "11-point mAP", score, kinds=("multilabel",))
