"""Distance fields of invented classes: characters of strokes, and filled shapes by their outlines.

A character is a random program of two to four straight or bent strokes; a shape has a wavy or a
polygonal outline around its centre.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hydra_peft.data.rendering.pose import FloatArray

_SEGMENTS = 8
_REACH = 0.92
_ANGLES = 720


def _anchors(rng: np.random.RandomState) -> FloatArray:
    """Return nine stroke ends [9, 2] on a jittered 3x3 grid inside the unit circle."""
    line = np.array([-0.62, 0.0, 0.62])
    grid = np.stack(np.meshgrid(line, line), axis=-1).reshape(9, 2)
    return np.clip(grid + rng.uniform(-0.12, 0.12, (9, 2)), -_REACH, _REACH)


def _stroke(start: FloatArray, end: FloatArray, bend: float) -> FloatArray:
    """Return the points [9, 2] of a quadratic curve; `bend` shifts its middle sideways."""
    across = np.array([start[1] - end[1], end[0] - start[0]])
    middle = (start + end) / 2 + bend * across
    t = np.linspace(0.0, 1.0, _SEGMENTS + 1)[:, None]
    points = (1 - t) ** 2 * start + 2 * t * (1 - t) * middle + t**2 * end
    length = np.maximum(np.hypot(points[:, 0], points[:, 1])[:, None], 1e-9)
    result: FloatArray = points * np.minimum(1.0, _REACH / length)
    return result


def _program(rng: np.random.RandomState) -> FloatArray:
    """Return the segments [segments, 2 ends, 2] of one random character."""
    anchors = _anchors(rng)
    used: list[int] = []
    segments = []
    for _ in range(rng.randint(2, 5)):
        joined = bool(used) and rng.random_sample() < 0.7
        first = int(rng.choice(used)) if joined else int(rng.randint(9))
        second = int(rng.choice([k for k in range(9) if k != first]))
        used += [first, second]
        bend = 0.0 if rng.random_sample() < 0.45 else float(rng.uniform(0.5, 1.1))
        bend *= 1.0 if rng.random_sample() < 0.5 else -1.0
        points = _stroke(anchors[first], anchors[second], bend)
        segments.append(np.stack([points[:-1], points[1:]], axis=1))
    return np.concatenate(segments)


def _segment_distance(points: FloatArray, segments: FloatArray) -> FloatArray:
    """Return the distance [n] of `points` [n, 2] to the nearest of `segments` [m, 2, 2]."""
    start, along = segments[:, 0], segments[:, 1] - segments[:, 0]
    offset = points[:, None] - start
    squared = np.maximum((along**2).sum(axis=1), 1e-12)
    share = np.clip((offset * along).sum(axis=2) / squared, 0.0, 1.0)
    nearest: FloatArray = np.sqrt(((offset - share[..., None] * along) ** 2).sum(axis=2))
    return nearest.min(axis=1)


def _places(size: int, extent: float) -> list[FloatArray]:
    """Return x and y [size, size] of cell centres in the square from -extent to extent."""
    line = ((np.arange(size) + 0.5) / size * 2.0 - 1.0) * extent
    return list(np.meshgrid(line, line))


def symbol_fields(count: int, seed: int, size: int, extent: float) -> NDArray[np.float32]:
    """Return distances to the strokes of `count` characters, float32 [count, size, size].

    Each field samples the square from -extent to extent at cell centres, rows downwards.
    """
    rng = np.random.RandomState(seed)
    points = np.stack(_places(size, extent), axis=-1).reshape(-1, 2)
    fields = [_segment_distance(points, _program(rng)).reshape(size, size) for _ in range(count)]
    return np.stack(fields).astype(np.float32)


def _wavy(rng: np.random.RandomState, angles: FloatArray) -> FloatArray:
    """Return the radius of a random sum of two to three waves at each angle."""
    radius = np.ones_like(angles)
    for waves in rng.choice(np.arange(2, 8), size=rng.randint(2, 4), replace=False):
        strength = rng.uniform(0.12, 0.4) / np.sqrt(waves)
        radius += strength * np.cos(waves * angles + rng.uniform(0.0, 2.0 * np.pi))
    return radius


def _polygonal(rng: np.random.RandomState, angles: FloatArray) -> FloatArray:
    """Return the radius of a random star-shaped polygon with three to seven corners."""
    corners = rng.randint(3, 8)
    turns = (np.arange(corners) + rng.uniform(-0.25, 0.25, corners)) * (2.0 * np.pi / corners)
    reach = rng.uniform(0.45, 1.0, corners)
    x, y = reach * np.cos(turns), reach * np.sin(turns)
    past_first = np.mod(angles - turns[0], 2.0 * np.pi) + turns[0]
    first = np.clip(np.searchsorted(turns, past_first) - 1, 0, corners - 1)
    second = (first + 1) % corners
    nx, ny = y[second] - y[first], x[first] - x[second]
    along = nx * np.cos(angles) + ny * np.sin(angles)
    radius: FloatArray = (nx * x[first] + ny * y[first]) / along
    return radius


def _field(radius: FloatArray, u: FloatArray, v: FloatArray) -> FloatArray:
    """Return the distance, to first order, to the outline given at `_ANGLES` equal angles."""
    radius = radius / radius.max()
    slope = (np.roll(radius, -1) - np.roll(radius, 1)) / (4.0 * np.pi / _ANGLES)
    place = np.mod(np.arctan2(v, u), 2.0 * np.pi) * (_ANGLES / (2.0 * np.pi))
    index = np.rint(place).astype(np.int64) % _ANGLES
    steepness = np.sqrt(1.0 + np.minimum((slope / radius) ** 2, 9.0))
    return (np.hypot(u, v) - radius[index]) / steepness[index]


def outline_fields(count: int, seed: int, size: int, extent: float) -> NDArray[np.float32]:
    """Return signed distances to `count` filled shapes, float32 [count, size, size].

    Shapes alternate between wavy and polygonal and touch the unit circle; the sampling is that of
    `symbol_fields`.
    """
    rng = np.random.RandomState(seed)
    angles: FloatArray = np.arange(_ANGLES, dtype=np.float64) * (2.0 * np.pi / _ANGLES)
    u, v = _places(size, extent)
    kinds = (_wavy, _polygonal)
    fields = [_field(kinds[k % 2](rng, angles), u, v) for k in range(count)]
    return np.stack(fields).astype(np.float32)
