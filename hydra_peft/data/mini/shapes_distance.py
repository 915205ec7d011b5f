"""Structured task: how far from the camera is the closest object, in six steps?

Objects stand on a plain that runs to a horizon, so a near one is lower in the image and larger. As
in CLEVR, objects have sizes of their own, and only the closest of several counts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hydra_peft.data.mini.layout import IMAGE_SIZE, LABELLED_SIZE, balanced_labels
from hydra_peft.data.rendering.backgrounds import smooth_field
from hydra_peft.data.rendering.colours import from_hue, uniform
from hydra_peft.data.rendering.paint import add_noise, blend, coverage, to_bytes
from hydra_peft.data.rendering.pose import FloatArray, Pose, pixel_centres
from hydra_peft.data.rendering.shapes import disc, pixel_distance, square, triangle

CLASSES = 6
TEST_SIZE = 1000

_SEED = 2707
_SHAPES = (disc, square, triangle)
# How far below its centre each shape touches the ground, in radii, when it stands upright.
_FOOT = np.array([1.0, np.sqrt(0.5), 0.5])
# A quarter turn lets the triangle point up; the other two look the same.
_UPRIGHT = -np.pi / 2
_OBJECTS = 3
_CLOSEST = 1.6
_FARTHEST = 4.6
# Pixels from the horizon down to the ground at depth one, and the radius of an object there.
_GROUND_SCALE = 34.0
_RADIUS_SCALE = 7.5
_HORIZON = 7.5


def _depths(rng: np.random.RandomState, labels: NDArray[np.int64]) -> FloatArray:
    """Return object depths [n, objects]: the last one is the closest and lies in the labelled step.

    Steps are equal ratios of depth; the outer tenths of each stay empty. The other objects are at
    least a third of a step behind and may be beyond the last step.
    """
    count = len(labels)
    ratio = (_FARTHEST / _CLOSEST) ** (1.0 / CLASSES)
    step = labels + uniform(rng, 0.1, 0.9, count)
    behind = step[:, None] + 0.33
    others = behind + (CLASSES + 1.0 - behind) * rng.random_sample((count, _OBJECTS - 1))
    # The painter's order: far objects first.
    others = -np.sort(-others, axis=1)
    return _CLOSEST * ratio ** np.concatenate([others, step[:, None]], axis=1)


def _plain(rng: np.random.RandomState, horizon: FloatArray) -> FloatArray:
    """Return backgrounds [n, size, size, 3]: a light sky over a darker grey ground."""
    count = len(horizon)
    y = pixel_centres(IMAGE_SIZE)[1]
    ground = coverage(horizon[:, None, None] - y)
    sky = uniform(rng, 0.7, 0.95, count, 1) + uniform(rng, -0.04, 0.04, count, 3)
    soil = uniform(rng, 0.3, 0.5, count, 1) + uniform(rng, -0.04, 0.04, count, 3)
    canvas = np.broadcast_to(sky[:, None, None], (count, IMAGE_SIZE, IMAGE_SIZE, 3)).copy()
    blend(canvas, ground, soil)
    canvas += 0.06 * smooth_field(rng, count, 4, IMAGE_SIZE)[..., None]
    return canvas


def generate() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return uint8 images [2000, 32, 32, 3] and int64 labels [2000].

    Label 0: the closest object is nearest to the camera; each further label is 1.19 times as deep.
    Every image holds three objects, some of them partly hidden.
    """
    rng = np.random.RandomState(_SEED)
    labels = balanced_labels(rng, CLASSES, TEST_SIZE)
    count = LABELLED_SIZE + TEST_SIZE
    depth = _depths(rng, labels)
    horizon = _HORIZON + uniform(rng, -1.0, 1.0, count)
    canvas = _plain(rng, horizon)
    for k in range(_OBJECTS):
        kind = rng.randint(0, len(_SHAPES), count).astype(np.int64)
        radius = uniform(rng, 0.75, 1.35, count) * _RADIUS_SCALE / depth[:, k]
        foot = horizon + _GROUND_SCALE / depth[:, k]
        pose = Pose(
            x=uniform(rng, 3.0, IMAGE_SIZE - 3.0, count),
            y=foot - _FOOT[kind] * radius,
            radius=radius,
            angle=np.full(count, _UPRIGHT),
        )
        saturation, value = uniform(rng, 0.75, 1.0, count), uniform(rng, 0.6, 1.0, count)
        colour = from_hue(rng.random_sample(count), saturation, value)
        blend(canvas, coverage(pixel_distance(_SHAPES, kind, pose, IMAGE_SIZE)), colour)
    add_noise(rng, canvas, uniform(rng, 0.01, 0.04, count))
    return to_bytes(canvas), labels
