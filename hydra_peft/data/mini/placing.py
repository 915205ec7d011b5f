"""Placing several round objects in one image so that they keep a gap between them."""

from __future__ import annotations

import numpy as np

from hydra_peft.data.rendering.colours import uniform
from hydra_peft.data.rendering.pose import FloatArray


def spread_out(
    rng: np.random.RandomState, radius: FloatArray, gap: float, size: int, tries: int = 48
) -> tuple[FloatArray, FloatArray]:
    """Return x and y, each float64 [n, objects], for circles of the given radius [n, objects].

    Circles lie inside the image. Each takes the first of `tries` random places that leaves `gap`
    pixels to those before it, or the roomiest one where none does.
    """
    count, objects = radius.shape
    rows = np.arange(count)
    x, y = np.empty_like(radius), np.empty_like(radius)
    for k in range(objects):
        own = radius[:, k, None]
        place = uniform(rng, 0.0, 1.0, 2, count, tries) * (size - 2.0 * own) + own
        free = np.full((count, tries), np.inf)
        for j in range(k):
            apart = np.hypot(place[0] - x[:, j, None], place[1] - y[:, j, None])
            free = np.minimum(free, apart - own - radius[:, j, None])
        fits = free >= gap
        pick = np.where(fits.any(axis=1), fits.argmax(axis=1), free.argmax(axis=1))
        x[:, k], y[:, k] = place[0][rows, pick], place[1][rows, pick]
    return x, y
