"""Sizes shared by the tasks of `mini`, and labels that are balanced within every split."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

IMAGE_SIZE = 32
TRAIN_SIZE = 800
VAL_SIZE = 200
LABELLED_SIZE = TRAIN_SIZE + VAL_SIZE


def balanced_labels(rng: np.random.RandomState, classes: int, test_size: int) -> NDArray[np.int64]:
    """Return int64 labels [1000 + test_size], shuffled and balanced within each split.

    Class sizes within train800, val200 and the test set differ by at most one.
    """
    splits = [
        rng.permutation(np.arange(size, dtype=np.int64) % classes)
        for size in (TRAIN_SIZE, VAL_SIZE, test_size)
    ]
    return np.concatenate(splits)
