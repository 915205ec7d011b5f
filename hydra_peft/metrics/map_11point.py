"""11-point mean average precision of PASCAL VOC 2007, as ELEVATER computes it."""

from __future__ import annotations

import numpy as np

from hydra_peft.metrics._base import Array, Metric, probabilities

#: as vision-evaluation has them: its 0.3 is not quite the float of a share such as 3/10
_RECALLS = np.linspace(1, 0, 11)


def score(outputs: Array, targets: Array) -> float:
    """Return the mean over classes of the 11-point interpolated average precision, in percent.

    The precision at a recall is the largest one at this recall or above (Everingham et al., *The
    PASCAL Visual Object Classes Challenge*, IJCV 2010, section 4.2). Classes without an example are
    left out.

    Two things are as in ELEVATER (Computer-Vision-in-the-Wild/Elevater_Toolkit_IC) and
    microsoft/vision-evaluation 0.2.9 (``MeanAveragePrecisionNPointsEvaluator``), whose numbers
    papers print, and not as in VOC's devkit: outputs go through a softmax first, which changes the
    ranking between examples; and at recall 0 the precision is 1, the point at which scikit-learn
    closes the curve, also where the first of the ranking is wrong.
    """
    scores, positives = probabilities(outputs), targets.astype(bool)
    present = np.flatnonzero(positives.any(axis=0))
    return 100.0 * float(np.mean([_average(scores[:, c], positives[:, c]) for c in present]))


def _average(scores: Array, positives: Array) -> float:
    from sklearn.metrics import precision_recall_curve

    precision, recall, _ = precision_recall_curve(positives, scores)
    return float(np.mean([precision[recall >= level].max() for level in _RECALLS]))


METRIC = Metric("map_11point", "11-point mAP", score, kinds=("multilabel",))
