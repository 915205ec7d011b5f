"""Backgrounds: smooth random fields, tinted backgrounds and thin stray strokes."""

from __future__ import annotations

import numpy as np

from hydra_peft.data.rendering.colours import contrasting, uniform
from hydra_peft.data.rendering.paint import blend, coverage
from hydra_peft.data.rendering.pose import FloatArray, pixel_centres


def smooth_field(rng: np.random.RandomState, count: int, cells: int, size: int) -> FloatArray:
    """Return random fields with values -1 to 1, float64 [count, size, size].

    A grid of cells + 1 knots along each side is drawn and joined by a cubic ease, so features are
    about size / cells pixels wide.
    """
    knots = uniform(rng, -1.0, 1.0, count, cells + 1, cells + 1)
    place = (np.arange(size) + 0.5) * cells / size
    low = place.astype(np.int64)
    part = place - low
    ease = part * part * (3.0 - 2.0 * part)
    rows = knots[:, low] * (1.0 - ease)[:, None] + knots[:, low + 1] * ease[:, None]
    return rows[:, :, low] * (1.0 - ease) + rows[:, :, low + 1] * ease


def tinted(
    rng: np.random.RandomState, base: FloatArray, strength: float, cells: int, size: int
) -> FloatArray:
    """Return backgrounds around the colours `base` (float64 [n, 3]), float64 [n, size, size, 3].

    Each image gets a smooth light field of up to `strength` shared by its three channels, and a
    weaker one of its own for each channel.
    """
    count = len(base)
    shared = smooth_field(rng, count, cells, size) * uniform(rng, 0.0, strength, count, 1, 1)
    tint = smooth_field(rng, 3 * count, cells, size).reshape(count, 3, size, size)
    return base[:, None, None, :] + shared[..., None] + 0.4 * strength * tint.transpose(0, 2, 3, 1)


def add_strokes(
    rng: np.random.RandomState, canvas: FloatArray, base: FloatArray, strokes: int, contrast: float
) -> None:
    """Paint thin straight strokes across each image of `canvas` in place.

    canvas: float64 [n, size, size, 3]; base: its background colours [n, 3]. The colours lie between
    the background and one at least 0.5 away from it, by a share of up to `contrast`.
    """
    count, size = canvas.shape[:2]
    x, y = pixel_centres(size)
    for _ in range(strokes):
        angle = uniform(rng, 0.0, np.pi, count)
        shift = uniform(rng, -0.4 * size, 0.4 * size, count)
        width = uniform(rng, 0.5, 1.6, count)
        share = uniform(rng, 0.0, contrast, count)
        across = (x - size / 2) * np.cos(angle)[:, None, None]
        across += (y - size / 2) * np.sin(angle)[:, None, None]
        distance = np.abs(across - shift[:, None, None]) - width[:, None, None] / 2
        alpha = coverage(distance) * share[:, None, None]
        blend(canvas, alpha, contrasting(rng, base, 0.5))
