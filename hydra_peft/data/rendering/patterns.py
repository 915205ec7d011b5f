"""Signed distances of plane patterns: negative where the second colour is, in units of a period."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hydra_peft.data.rendering.backgrounds import smooth_field
from hydra_peft.data.rendering.colours import uniform
from hydra_peft.data.rendering.pose import FloatArray, pixel_centres
from hydra_peft.data.rendering.shapes import Distance


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


PATTERNS: dict[str, Distance] = {
    "stripes": _stripes,
    "checks": _checks,
    "spots": _spots,
    "mesh": _mesh,
    "bricks": _bricks,
    "zigzag": _zigzag,
    "waves": _waves,
    "rings": _rings,
}


def pattern_cover(
    rng: np.random.RandomState,
    kind: NDArray[np.int64],
    size: int,
    shortest: float,
    longest: float,
) -> FloatArray:
    """Return coverage of each pixel by the second colour, float64 [n, size, size], 0 to 1.

    kind: int64 [n], which of `PATTERNS` each image has; its period is drawn between `shortest` and
    `longest` pixels, angle, place, a slight bend and the softness of edges freely.
    """
    count = len(kind)
    x, y = pixel_centres(size)
    period = shortest * (longest / shortest) ** rng.random_sample(count)
    angle = uniform(rng, 0.0, 2.0 * np.pi, count)
    origin = uniform(rng, 0.0, size, 2, count)[:, :, None, None]
    bend = smooth_field(rng, 2 * count, 3, size).reshape(2, count, size, size)
    dx, dy = x - origin[0] + 1.2 * bend[0], y - origin[1] + 1.2 * bend[1]
    cos = (np.cos(angle) / period)[:, None, None]
    sin = (np.sin(angle) / period)[:, None, None]
    u, v = dx * cos + dy * sin, dy * cos - dx * sin
    distance = np.empty_like(u)
    for number, pattern in enumerate(PATTERNS.values()):
        chosen = kind == number
        distance[chosen] = pattern(u[chosen], v[chosen])
    soft = uniform(rng, 1.0, 2.5, count)[:, None, None]
    cover: FloatArray = np.clip(0.5 - distance * period[:, None, None] / soft, 0.0, 1.0)
    return cover
