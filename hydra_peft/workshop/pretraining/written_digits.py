"""Digits written with a few strokes, each time by another hand."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hydra_peft.data.rendering.colours import uniform
from hydra_peft.data.rendering.pose import FloatArray, pixel_centres

Line = list[tuple[float, float]]


def _loop(y: float, half_width: float, half_height: float) -> Line:
    """Return a closed line around (0, y)."""
    angles = [2.0 * math.pi * k / 8 for k in range(9)]
    return [(half_width * math.sin(a), y - half_height * math.cos(a)) for a in angles]


# Each form of a digit: lines of points in a box from -1 to 1, y downwards.
_FORMS: list[tuple[int, list[Line]]] = [
    (0, [_loop(0.0, 0.6, 1.0)]),
    (1, [[(-0.3, -0.6), (0.05, -1.0), (0.05, 1.0)]]),
    (1, [[(-0.3, -0.6), (0.05, -1.0), (0.05, 1.0)], [(-0.4, 1.0), (0.45, 1.0)]]),
    (1, [[(0.0, -1.0), (0.0, 1.0)]]),
    (2, [[(-0.5, -0.6), (0.0, -1.0), (0.5, -0.6), (0.3, 0.0), (-0.55, 1.0), (0.6, 1.0)]]),
    (
        3,
        [
            [(-0.5, -0.8), (0.0, -1.0), (0.5, -0.55), (0.0, -0.05)],
            [(0.0, -0.05), (0.55, 0.45), (0.0, 1.0), (-0.55, 0.75)],
        ],
    ),
    (4, [[(0.1, -1.0), (-0.6, 0.3), (0.6, 0.3)], [(0.25, -0.4), (0.2, 1.0)]]),
    (4, [[(-0.5, -0.9), (-0.5, 0.1), (0.5, 0.1)], [(0.45, -0.9), (0.35, 1.0)]]),
    (
        5,
        [
            [(0.5, -1.0), (-0.45, -1.0), (-0.45, -0.15), (0.1, -0.25)],
            [(0.1, -0.25), (0.55, 0.3), (0.1, 0.95), (-0.5, 0.85)],
        ],
    ),
    (
        6,
        [
            [(0.3, -1.0), (-0.25, -0.5), (-0.5, 0.3), (-0.2, 0.95)],
            [(-0.2, 0.95), (0.3, 0.9), (0.5, 0.4), (0.1, 0.05), (-0.4, 0.35)],
        ],
    ),
    (7, [[(-0.55, -1.0), (0.55, -1.0), (-0.1, 1.0)]]),
    (7, [[(-0.55, -1.0), (0.55, -1.0), (-0.1, 1.0)], [(-0.35, 0.05), (0.45, 0.05)]]),
    (8, [_loop(-0.5, 0.42, 0.5), _loop(0.5, 0.5, 0.5)]),
    (9, [_loop(-0.45, 0.5, 0.52), [(0.5, -0.45), (0.35, 0.45), (0.0, 1.0), (-0.4, 0.9)]]),
]
_DIGITS = np.array([digit for digit, _ in _FORMS])


def _tables() -> tuple[FloatArray, NDArray[np.int64]]:
    """Return points [forms, points, 2] and the two ends of each segment [forms, segments, 2].

    Forms of fewer points or segments repeat their last.
    """
    points, ends = [], []
    for _, lines in _FORMS:
        start, pairs = 0, []
        for line in lines:
            pairs += [(start + k, start + k + 1) for k in range(len(line) - 1)]
            start += len(line)
        points.append([point for line in lines for point in line])
        ends.append(pairs)
    most, longest = max(map(len, points)), max(map(len, ends))
    return (
        np.array([p + p[-1:] * (most - len(p)) for p in points]),
        np.array([e + e[-1:] * (longest - len(e)) for e in ends]),
    )


_POINTS, _ENDS = _tables()


def digit_distance(
    rng: np.random.RandomState, digit: NDArray[np.int64], size: int
) -> tuple[FloatArray, FloatArray]:
    """Return the distance in pixels to the middle of the strokes, [n, size, size].

    `digit` (int64 [n]) is 0 to 9. Each is written in one of the ways there are of it, with points
    that stray, its own height, width, slant and place. Half the heights, [n], come with it.
    """
    count = len(digit)
    chance = rng.random_sample((count, len(_DIGITS))) * (digit[:, None] == _DIGITS)
    form = chance.argmax(axis=1)
    points = _POINTS[form] + uniform(rng, -0.1, 0.1, count, _POINTS.shape[1], 2)
    half = size / 2 * uniform(rng, 0.7, 0.98, count)
    slant, turn = uniform(rng, -0.25, 0.35, count, 1), uniform(rng, -0.12, 0.12, count, 1)
    x = points[..., 0] * uniform(rng, 0.75, 1.2, count, 1) - slant * points[..., 1]
    y = points[..., 1]
    across = (x * np.cos(turn) - y * np.sin(turn)) * half[:, None]
    down = (x * np.sin(turn) + y * np.cos(turn)) * half[:, None]
    place = size / 2 + uniform(rng, -0.06, 0.06, count, 2) * size
    points = np.stack([across, down], axis=2) + place[:, None]
    ends = np.take_along_axis(points[:, None], _ENDS[form][..., None], axis=2)
    return _to_segments(ends, size), half


def _to_segments(ends: FloatArray, size: int) -> FloatArray:
    """Return the distance [n, size, size] to the nearest of the segments [n, m, 2 ends, 2]."""
    px, py = pixel_centres(size)
    nearest = np.full((len(ends), size, size), np.inf)
    for k in range(ends.shape[1]):
        start = ends[:, k, 0, :, None, None]
        along = ends[:, k, 1, :, None, None] - start
        squared = np.maximum((along**2).sum(axis=1), 1e-9)
        dx, dy = px - start[:, 0], py - start[:, 1]
        share = np.clip((dx * along[:, 0] + dy * along[:, 1]) / squared, 0.0, 1.0)
        far = np.hypot(dx - share * along[:, 0], dy - share * along[:, 1])
        np.minimum(nearest, far, out=nearest)
    return nearest
