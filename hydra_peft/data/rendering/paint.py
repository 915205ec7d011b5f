"""Painting on a stack of images: coverage, blending, noise and rounding to bytes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hydra_peft.data.rendering.pose import FloatArray


def coverage(distance: FloatArray, softness: float = 1.0) -> FloatArray:
    """Turn a signed distance in pixels into the share of the pixel that is covered (0 to 1).

    `softness` is the width of the edge in pixels; it must be positive.
    """
    if softness <= 0.0:
        raise ValueError(f"softness must be positive, got {softness}")
    return np.clip(0.5 - distance / softness, 0.0, 1.0)


def blend(canvas: FloatArray, alpha: FloatArray, colour: FloatArray) -> None:
    """Paint `colour` over `canvas` in place.

    canvas: float64 [n, size, size, 3]; alpha: [n, size, size]; colour: [n, 3] or the canvas shape.
    """
    paint = colour[:, None, None, :] if colour.ndim == 2 else colour
    canvas += alpha[..., None] * (paint - canvas)


def add_noise(rng: np.random.RandomState, canvas: FloatArray, sigma: FloatArray) -> None:
    """Add independent Gaussian noise in place; sigma (float64 [n]) is its strength per image."""
    canvas += rng.normal(size=canvas.shape) * sigma[:, None, None, None]


def to_bytes(canvas: FloatArray) -> NDArray[np.uint8]:
    """Round an image stack with values 0 to 1 to uint8 in C order, clipping what is outside.

    Rounding comes last, so that a last-bit difference between mathematical libraries is dropped.
    """
    return np.rint(np.clip(canvas, 0.0, 1.0) * 255.0).astype(np.uint8, order="C")
