"""Invented characters: each class is a random program of two to four straight or bent strokes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hydra_peft.data.rendering.pose import FloatArray

_SEGMENTS = 8
_REACH = 0.92


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


def symbol_fields(count: int, seed: int, size: int, extent: float) -> NDArray[np.float32]:
    """Return distances to the strokes of `count` characters, float32 [count, size, size].

    Each field samples the square from -extent to extent at cell centres, rows downwards.
    """
    rng = np.random.RandomState(seed)
    line = ((np.arange(size) + 0.5) / size * 2.0 - 1.0) * extent
    points = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    fields = [_segment_distance(points, _program(rng)).reshape(size, size) for _ in range(count)]
    return np.stack(fields).astype(np.float32)
