"""Specialized task: is there an abnormal nucleus in the middle of a stained tissue image?

Like the lymph node patches of VTAB, the label speaks of the central half only; abnormal nuclei in
the outer part occur as often in both classes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hydra_peft.data.mini.layout import IMAGE_SIZE, LABELLED_SIZE, balanced_labels
from hydra_peft.data.rendering.backgrounds import smooth_field
from hydra_peft.data.rendering.colours import uniform
from hydra_peft.data.rendering.paint import add_noise, blend, coverage, to_bytes
from hydra_peft.data.rendering.pose import FloatArray, Pose, object_frame

CLASSES = 2
TEST_SIZE = 1000

_SEED = 2303
_NORMAL_CELLS = 14
_OUTER_ABNORMAL = 2
_CENTRE = IMAGE_SIZE / 2
# Half the width of the middle square, and the margin around its border that nuclei keep clear of.
_MIDDLE = 8.0
_CLEAR = 1.5


def _nucleus(rng: np.random.RandomState, pose: Pose, roughness: float) -> FloatArray:
    """Return the distance in pixels to one nucleus per image, [n, size, size].

    Nuclei are ellipses; `roughness` bounds the waves on their outline.
    """
    count = len(pose.x)
    u, v = object_frame(pose, IMAGE_SIZE)
    v = v / uniform(rng, 0.65, 1.0, count)[:, None, None]
    outline = np.ones_like(u)
    if roughness == 0.0:
        return (np.hypot(u, v) - outline) * pose.radius[:, None, None]
    around = np.arctan2(v, u)
    for waves in (2, 3, 5):
        size = uniform(rng, 0.0, roughness, count)[:, None, None]
        turn = uniform(rng, 0.0, 2.0 * np.pi, count)[:, None, None]
        outline += size * np.cos(waves * around + turn)
    return (np.hypot(u, v) - outline) * pose.radius[:, None, None]


def _outside_middle(rng: np.random.RandomState, count: int) -> tuple[FloatArray, FloatArray]:
    """Return x and y, each [count], in the frame around the middle square."""
    reach = uniform(rng, _MIDDLE + _CLEAR, _CENTRE, count)
    other = uniform(rng, -_CENTRE, _CENTRE, count)
    reach = reach * np.where(rng.random_sample(count) < 0.5, -1.0, 1.0)
    upright = rng.random_sample(count) < 0.5
    return _CENTRE + np.where(upright, reach, other), _CENTRE + np.where(upright, other, reach)


def _abnormal_pose(rng: np.random.RandomState, x: FloatArray, y: FloatArray) -> Pose:
    """Return the pose of a larger nucleus at x, y (each [n])."""
    return Pose(x, y, uniform(rng, 2.7, 3.6, len(x)), uniform(rng, 0.0, 2.0 * np.pi, len(x)))


def _tissue(rng: np.random.RandomState, count: int) -> tuple[FloatArray, FloatArray]:
    """Return stained backgrounds [n, size, size, 3] and the nucleus colour of each image [n, 3]."""
    stain = uniform(rng, -0.06, 0.06, count, 3)
    base = np.array([0.88, 0.66, 0.80]) + stain
    fibres = smooth_field(rng, count, 7, IMAGE_SIZE) + 0.7 * smooth_field(rng, count, 3, IMAGE_SIZE)
    canvas = base[:, None, None] + 0.09 * fibres[..., None] * np.array([0.8, 1.2, 0.7])
    return canvas, np.array([0.50, 0.32, 0.62]) + stain + uniform(rng, -0.06, 0.06, count, 3)


def _paint_normal(rng: np.random.RandomState, canvas: FloatArray, colour: FloatArray) -> None:
    """Paint the normal nuclei anywhere, each with a slightly different darkness, in place."""
    count = len(canvas)
    for _ in range(_NORMAL_CELLS):
        x = uniform(rng, 0.0, IMAGE_SIZE, count)
        y = uniform(rng, 0.0, IMAGE_SIZE, count)
        pose = Pose(x, y, uniform(rng, 1.4, 2.5, count), uniform(rng, 0.0, 2.0 * np.pi, count))
        shade = colour * uniform(rng, 0.75, 1.25, count, 1)
        shown = rng.random_sample(count) < 0.8
        alpha = coverage(_nucleus(rng, pose, 0.0), 1.3) * 0.85
        blend(canvas, alpha * shown[:, None, None], shade)


def generate() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return uint8 images [2000, 32, 32, 3] and int64 labels [2000].

    Label 1: the middle 16x16 pixels hold the centre of an abnormal nucleus (larger, rougher and
    a little darker than the others).
    """
    rng = np.random.RandomState(_SEED)
    labels = balanced_labels(rng, CLASSES, TEST_SIZE)
    count = LABELLED_SIZE + TEST_SIZE
    canvas, colour = _tissue(rng, count)
    _paint_normal(rng, canvas, colour)
    inner = uniform(rng, -(_MIDDLE - _CLEAR), _MIDDLE - _CLEAR, 2, count) + _CENTRE
    places = [(inner[0], inner[1], labels == 1)]
    for _ in range(_OUTER_ABNORMAL):
        x, y = _outside_middle(rng, count)
        places.append((x, y, rng.random_sample(count) < 0.5))
    for x, y, shown in places:
        distance = _nucleus(rng, _abnormal_pose(rng, x, y), 0.14)
        shade = colour * uniform(rng, 0.6, 0.95, count, 1)
        blend(canvas, coverage(distance, 1.2) * shown[:, None, None] * 0.95, shade)
    add_noise(rng, canvas, uniform(rng, 0.02, 0.05, count))
    return to_bytes(canvas), labels
