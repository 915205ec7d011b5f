"""Structured task: in which of 16 columns of the image does the sprite sit?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hydra_peft.data.mini.layout import IMAGE_SIZE, LABELLED_SIZE, balanced_labels
from hydra_peft.data.rendering.backgrounds import add_strokes, tinted
from hydra_peft.data.rendering.colours import contrasting, uniform
from hydra_peft.data.rendering.paint import add_noise, blend, coverage, to_bytes
from hydra_peft.data.rendering.pose import FloatArray, Pose
from hydra_peft.data.rendering.shapes import ellipse, heart, pixel_distance, square

CLASSES = 16
TEST_SIZE = 1000

_SEED = 2404
_SHAPES = (square, ellipse, heart)
# Sprites stay wholly inside the image: the largest radius is the first column's left edge.
_LEFT = 5.0
_BIN_WIDTH = (IMAGE_SIZE - 2.0 * _LEFT) / CLASSES
_CLUTTER_STROKES = 2


def _poses(rng: np.random.RandomState, labels: NDArray[np.int64]) -> Pose:
    """Return poses whose x lies in the labelled column, off its borders by a tenth of its width."""
    count = len(labels)
    return Pose(
        x=_LEFT + (labels + uniform(rng, 0.1, 0.9, count)) * _BIN_WIDTH,
        y=uniform(rng, _LEFT, IMAGE_SIZE - _LEFT, count),
        radius=uniform(rng, 3.0, _LEFT, count),
        angle=uniform(rng, 0.0, 2.0 * np.pi, count),
    )


def _background(rng: np.random.RandomState, base: FloatArray) -> FloatArray:
    """Return lit backgrounds with faint strokes for the colours `base` [n, 3]."""
    canvas = tinted(rng, base, 0.15, 3, IMAGE_SIZE)
    add_strokes(rng, canvas, base, _CLUTTER_STROKES, 0.35)
    return canvas


def generate() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return uint8 images [2000, 32, 32, 3] and int64 labels [2000].

    The label is the column, left to right, that holds the sprite's centre; shape, radius, angle,
    height, colours and background vary freely.
    """
    rng = np.random.RandomState(_SEED)
    labels = balanced_labels(rng, CLASSES, TEST_SIZE)
    count = LABELLED_SIZE + TEST_SIZE
    kind = rng.randint(0, len(_SHAPES), count).astype(np.int64)
    base = uniform(rng, 0.1, 0.9, count, 3)
    canvas = _background(rng, base)
    distance = pixel_distance(_SHAPES, kind, _poses(rng, labels), IMAGE_SIZE)
    blend(canvas, coverage(distance), contrasting(rng, base, 0.6))
    add_noise(rng, canvas, uniform(rng, 0.01, 0.05, count))
    return to_bytes(canvas), labels
