"""Random colours that keep a minimum contrast to what they are painted on."""

from __future__ import annotations

import numpy as np

from hydra_peft.data.rendering.pose import FloatArray


def uniform(rng: np.random.RandomState, low: float, high: float, *shape: int) -> FloatArray:
    """Return float64 draws from [low, high) of the given shape."""
    return low + (high - low) * rng.random_sample(shape)


def contrasting(
    rng: np.random.RandomState, other: FloatArray, minimum: float, tries: int = 24
) -> FloatArray:
    """Return one random colour per row of `other` (float64 [n, 3], values 0 to 1), shape [n, 3].

    Each is the first of `tries` draws at a Euclidean distance of at least `minimum`, or the
    farthest one where no draw is.
    """
    draws = uniform(rng, 0.0, 1.0, len(other), tries, 3)
    gap = np.sqrt(((draws - other[:, None]) ** 2).sum(axis=2))
    reached = gap >= minimum
    pick = np.where(reached.any(axis=1), reached.argmax(axis=1), gap.argmax(axis=1))
    return draws[np.arange(len(other)), pick]


def from_hue(hue: FloatArray, saturation: FloatArray, value: FloatArray) -> FloatArray:
    """Turn hue, saturation and value (one shape, 0 to 1) into RGB with a last axis of 3."""
    offsets = np.array([0.0, 2.0 / 3.0, 1.0 / 3.0])
    wheel = np.abs(((hue[..., None] + offsets) % 1.0) * 6.0 - 3.0) - 1.0
    tint = np.clip(wheel, 0.0, 1.0)
    return value[..., None] * (1.0 - saturation[..., None] * (1.0 - tint))
