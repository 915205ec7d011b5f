"""Structured task: which of 16 directions does the sprite face?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hydra_peft.data.mini.layout import IMAGE_SIZE, LABELLED_SIZE, balanced_labels
from hydra_peft.data.rendering.backgrounds import tinted
from hydra_peft.data.rendering.colours import uniform
from hydra_peft.data.rendering.paint import add_noise, blend, coverage, to_bytes
from hydra_peft.data.rendering.pose import Pose
from hydra_peft.data.rendering.shapes import arrow, drop, heart, pixel_distance

CLASSES = 16
TEST_SIZE = 1000

_SEED = 2505
# All three have one tip, at the front, that is their farthest point from the middle.
_SHAPES = (arrow, drop, heart)
_SMALLEST = 6.5
_LARGEST = 10.0


def _poses(rng: np.random.RandomState, labels: NDArray[np.int64]) -> Pose:
    """Return poses facing the labelled direction, off the borders of its bin by a tenth of it."""
    count = len(labels)
    radius = uniform(rng, _SMALLEST, _LARGEST, count)
    room = IMAGE_SIZE - 2.0 * radius
    return Pose(
        x=radius + room * rng.random_sample(count),
        y=radius + room * rng.random_sample(count),
        radius=radius,
        angle=(labels + uniform(rng, -0.4, 0.4, count)) * (2.0 * np.pi / CLASSES),
    )


def generate() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return uint8 images [2000, 32, 32, 3] and int64 labels [2000].

    Label k: the sprite faces k * 22.5 degrees, clockwise from the right; shape, size, place,
    colours and background vary freely.
    """
    rng = np.random.RandomState(_SEED)
    labels = balanced_labels(rng, CLASSES, TEST_SIZE)
    count = LABELLED_SIZE + TEST_SIZE
    kind = rng.randint(0, len(_SHAPES), count).astype(np.int64)
    # Light on dark, as in dSprites: with either order a thousand images are too few to learn from.
    canvas = tinted(rng, uniform(rng, 0.0, 0.35, count, 3), 0.1, 3, IMAGE_SIZE)
    distance = pixel_distance(_SHAPES, kind, _poses(rng, labels), IMAGE_SIZE)
    blend(canvas, coverage(distance), uniform(rng, 0.6, 1.0, count, 3))
    add_noise(rng, canvas, uniform(rng, 0.01, 0.05, count))
    return to_bytes(canvas), labels
