from __future__ import annotations

import numpy as np
from mini_checks import check_balance, check_contract, data, digest, sprite_pixels
from numpy.typing import NDArray

GOLDEN = "ffcbc82d6cf55a8be08e6727e8ec91df3585dddb15e7cdd64ac041224ca292fd"


def facing(pixels: NDArray[np.int64]) -> float:
    """Return the angle from the centroid of `pixels` (y, x) to their farthest part, the tip."""
    offset = pixels - pixels.mean(axis=0)
    far = offset[np.argsort((offset**2).sum(axis=1))[-3:]].mean(axis=0)
    return float(np.arctan2(far[0], far[1]))


def test_bytes_are_golden() -> None:
    assert digest("sprites_orientation") == GOLDEN


def test_contract() -> None:
    check_contract("sprites_orientation")


def test_balance() -> None:
    check_balance("sprites_orientation")


def test_label_is_the_measured_direction_of_the_tip() -> None:
    images, labels = data("sprites_orientation")
    chosen = range(0, len(images), 10)
    angle = np.array([facing(sprite_pixels(images[k])) for k in chosen])
    steps = np.rint(angle / (2.0 * np.pi / 16)).astype(np.int64) - labels[list(chosen)]
    gap = np.minimum(steps % 16, -steps % 16)
    assert (gap <= 1).mean() > 0.85


def test_opposite_directions_are_different_labels() -> None:
    images, labels = data("sprites_orientation")
    chosen = np.flatnonzero((labels == 0) | (labels == 8))[:60]
    rightwards = np.array([np.cos(facing(sprite_pixels(images[k]))) > 0 for k in chosen])
    assert (rightwards == (labels[chosen] == 0)).mean() > 0.9
