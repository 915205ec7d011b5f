"""Structured task: how many objects are in the image, one to eight?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hydra_peft.data.mini.layout import IMAGE_SIZE, LABELLED_SIZE, balanced_labels
from hydra_peft.data.mini.placing import spread_out
from hydra_peft.data.rendering.backgrounds import tinted
from hydra_peft.data.rendering.colours import contrasting, uniform
from hydra_peft.data.rendering.paint import add_noise, blend, coverage, to_bytes
from hydra_peft.data.rendering.pose import Pose
from hydra_peft.data.rendering.shapes import disc, pixel_distance, square, triangle

CLASSES = 8
TEST_SIZE = 1000

_SEED = 2606
_SHAPES = (disc, square, triangle)
_GAP = 0.6


def generate() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return uint8 images [2000, 32, 32, 3] and int64 labels [2000].

    Label k: the image holds k + 1 objects. Kind, size, angle and colour are drawn per object.
    """
    rng = np.random.RandomState(_SEED)
    labels = balanced_labels(rng, CLASSES, TEST_SIZE)
    count = LABELLED_SIZE + TEST_SIZE
    base = uniform(rng, 0.1, 0.9, count, 3)
    canvas = tinted(rng, base, 0.12, 2, IMAGE_SIZE)
    radius = uniform(rng, 2.2, 4.0, count, CLASSES)
    angle = uniform(rng, 0.0, 2.0 * np.pi, count, CLASSES)
    kind = rng.randint(0, len(_SHAPES), (count, CLASSES)).astype(np.int64)
    x, y = spread_out(rng, radius, _GAP, IMAGE_SIZE)
    for k in range(CLASSES):
        colour = contrasting(rng, base, 0.5)
        shown = np.flatnonzero(labels >= k)
        pose = Pose(x[:, k], y[:, k], radius[:, k], angle[:, k]).take(shown)
        # Fancy indexing copies, so the painted rows are written back.
        rows = canvas[shown]
        distance = pixel_distance(_SHAPES, kind[shown, k], pose, IMAGE_SIZE)
        blend(rows, coverage(distance), colour[shown])
        canvas[shown] = rows
    add_noise(rng, canvas, uniform(rng, 0.01, 0.04, count))
    return to_bytes(canvas), labels
