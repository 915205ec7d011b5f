"""Natural task: handwritten digits, from the 8x8 set bundled with scikit-learn."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hydra_peft.data.mini.layout import IMAGE_SIZE
from hydra_peft.data.rendering.pose import FloatArray

CLASSES = 10
TEST_SIZE = 797

_SEED = 2101
_SOURCE_SIDE = 8
_SOURCE_MAXIMUM = 16.0


def _enlarging_matrix() -> FloatArray:
    """Return the linear interpolation from 8 to 32 samples, float64 [32, 8], rows summing to 1."""
    factor = IMAGE_SIZE // _SOURCE_SIDE
    place = (np.arange(IMAGE_SIZE) + 0.5) / factor - 0.5
    place = np.clip(place, 0.0, _SOURCE_SIDE - 1.0)
    return np.maximum(0.0, 1.0 - np.abs(place[:, None] - np.arange(_SOURCE_SIDE)))


def generate() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return uint8 images [1797, 32, 32, 3] and int64 labels 0 to 9 [1797].

    The source images are shuffled once with a fixed seed and enlarged four times by linear
    interpolation. The weights are eighths and the grey values whole numbers, so every product is
    exact in float64 and the bytes do not depend on the machine.
    """
    from sklearn.datasets import load_digits

    source = load_digits()
    order = np.random.RandomState(_SEED).permutation(len(source.target))
    grey = np.asarray(source.images, dtype=np.float64)[order]
    enlarge = _enlarging_matrix()
    large = enlarge @ grey @ enlarge.T
    pixels = np.rint(large * (255.0 / _SOURCE_MAXIMUM)).astype(np.uint8)
    images = np.repeat(pixels[..., None], 3, axis=3)
    labels = np.asarray(source.target, dtype=np.int64)[order]
    return np.ascontiguousarray(images), labels
