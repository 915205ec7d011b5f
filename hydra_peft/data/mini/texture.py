"""Specialized task: name one of eight surface patterns under any scale, angle, colour and light."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hydra_peft.data.mini.layout import IMAGE_SIZE, LABELLED_SIZE, balanced_labels
from hydra_peft.data.rendering.backgrounds import smooth_field
from hydra_peft.data.rendering.colours import contrasting, uniform
from hydra_peft.data.rendering.paint import add_noise, blend, to_bytes
from hydra_peft.data.rendering.pose import FloatArray, pixel_centres

TEST_SIZE = 1000

_SEED = 2202
_SHORTEST_PERIOD = 4.5
_LONGEST_PERIOD = 11.0


def _wrap(value: FloatArray) -> FloatArray:
    """Return the signed distance to the nearest whole number, from -0.5 to 0.5."""
    return value - np.floor(value + 0.5)


def _stripes(u: FloatArray, v: FloatArray) -> FloatArray:  # noqa: ARG001
    return np.abs(_wrap(u)) - 0.25


def _checks(u: FloatArray, v: FloatArray) -> FloatArray:
    first, second = np.abs(_wrap(u)) - 0.25, np.abs(_wrap(v)) - 0.25
    return np.maximum(np.minimum(first, second), -np.maximum(first, second))


def _spots(u: FloatArray, v: FloatArray) -> FloatArray:
    row = np.floor(v + 0.5)
    return np.hypot(_wrap(u + 0.5 * row), v - row) - 0.29


def _mesh(u: FloatArray, v: FloatArray) -> FloatArray:
    return np.minimum(np.abs(_wrap(u)), np.abs(_wrap(v))) - 0.11


def _bricks(u: FloatArray, v: FloatArray) -> FloatArray:
    row = np.floor(1.4 * v + 0.5)
    joint = np.abs(_wrap(0.7 * u + 0.5 * row)) / 0.7
    bed = (0.5 - np.abs(1.4 * v - row)) / 1.4
    return np.minimum(joint, bed) - 0.09


def _zigzag(u: FloatArray, v: FloatArray) -> FloatArray:
    return 0.7 * (np.abs(_wrap(u + 1.1 * np.abs(_wrap(0.6 * v)) / 0.6)) - 0.25)


def _waves(u: FloatArray, v: FloatArray) -> FloatArray:
    return 0.8 * (np.abs(_wrap(u + 0.3 * np.sin(2.0 * np.pi * 0.6 * v))) - 0.25)


def _rings(u: FloatArray, v: FloatArray) -> FloatArray:
    return np.abs(_wrap(np.hypot(u, v))) - 0.25


_PATTERNS = (_stripes, _checks, _spots, _mesh, _bricks, _zigzag, _waves, _rings)
CLASSES = len(_PATTERNS)


def _pattern_cover(rng: np.random.RandomState, labels: NDArray[np.int64]) -> FloatArray:
    """Coverage of each pixel by the second colour, float64 [n, size, size], 0 to 1."""
    count = len(labels)
    x, y = pixel_centres(IMAGE_SIZE)
    period = _SHORTEST_PERIOD * (_LONGEST_PERIOD / _SHORTEST_PERIOD) ** rng.random_sample(count)
    angle = uniform(rng, 0.0, 2.0 * np.pi, count)
    origin = uniform(rng, 0.0, IMAGE_SIZE, 2, count)[:, :, None, None]
    bend = smooth_field(rng, 2 * count, 3, IMAGE_SIZE).reshape(2, count, IMAGE_SIZE, IMAGE_SIZE)
    dx, dy = x - origin[0] + 1.2 * bend[0], y - origin[1] + 1.2 * bend[1]
    cos = (np.cos(angle) / period)[:, None, None]
    sin = (np.sin(angle) / period)[:, None, None]
    u, v = dx * cos + dy * sin, dy * cos - dx * sin
    distance = np.empty_like(u)
    for number, pattern in enumerate(_PATTERNS):
        chosen = labels == number
        distance[chosen] = pattern(u[chosen], v[chosen])
    soft = uniform(rng, 1.0, 2.5, count)[:, None, None]
    return np.clip(0.5 - distance * period[:, None, None] / soft, 0.0, 1.0)


def generate() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return uint8 images [2000, 32, 32, 3] and int64 labels [2000].

    Labels in order: stripes, checks, spots, mesh, bricks, zigzag, waves, rings.
    """
    rng = np.random.RandomState(_SEED)
    labels = balanced_labels(rng, CLASSES, TEST_SIZE)
    count = LABELLED_SIZE + TEST_SIZE
    cover = _pattern_cover(rng, labels)
    # Either colour may be the pattern, else brightness alone would tell mesh from spots.
    swapped = rng.random_sample(count) < 0.5
    cover[swapped] = 1.0 - cover[swapped]
    first = uniform(rng, 0.0, 1.0, count, 3)
    second = contrasting(rng, first, 0.35)
    canvas = np.broadcast_to(first[:, None, None], (count, IMAGE_SIZE, IMAGE_SIZE, 3)).copy()
    blend(canvas, cover * uniform(rng, 0.5, 1.0, count, 1, 1), second)
    canvas += 0.2 * smooth_field(rng, count, 2, IMAGE_SIZE)[..., None]
    add_noise(rng, canvas, uniform(rng, 0.02, 0.12, count))
    return to_bytes(canvas), labels
