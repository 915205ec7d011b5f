"""Invented filled shapes: wavy and polygonal outlines around a centre."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hydra_peft.data.rendering.pose import FloatArray

_ANGLES = 720


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
    `symbols.symbol_fields`.
    """
    rng = np.random.RandomState(seed)
    angles: FloatArray = np.arange(_ANGLES, dtype=np.float64) * (2.0 * np.pi / _ANGLES)
    line = ((np.arange(size) + 0.5) / size * 2.0 - 1.0) * extent
    u, v = np.meshgrid(line, line)
    kinds = (_wavy, _polygonal)
    fields = [_field(kinds[k % 2](rng, angles), u, v) for k in range(count)]
    return np.stack(fields).astype(np.float32)
