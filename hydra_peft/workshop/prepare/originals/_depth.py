"""Classes of distance: which thresholds lie below the nearest object."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def depth_classes(nearest: Sequence[float], thresholds: Sequence[float]) -> np.ndarray:
    """Return for each distance the index of the largest threshold strictly below it.

    Args:
        nearest: distances; they are compared in float32, the type in which tensorflow/datasets
            keeps them, so that a distance which rounds to a threshold is not above it.
        thresholds: ascending, each exact in float32.

    Returns:
        int64 ``[len(nearest)]``; -1 where no threshold lies below.
    """
    below = np.searchsorted(
        np.asarray(thresholds, np.float32), np.asarray(nearest, np.float32), side="left"
    )
    return below.astype(np.int64) - 1
