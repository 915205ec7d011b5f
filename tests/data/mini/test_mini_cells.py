from __future__ import annotations

import numpy as np
from mini_checks import check_balance, check_contract, data, digest
from numpy.typing import NDArray

GOLDEN = "8e9c8f502f20e00a6c69799c6a0b5936c514f1283e8a7a5193e46c8af2c18403"


def darkest_patch(images: NDArray[np.uint8], low: int, high: int) -> NDArray[np.float64]:
    """Return, per image, the lowest 5x5 mean brightness centred in rows and columns low..high."""
    grey = images.astype(np.float64).mean(axis=3)
    padded = np.pad(grey, ((0, 0), (2, 2), (2, 2)), mode="edge")
    total = np.zeros_like(grey)
    for dy in range(5):
        for dx in range(5):
            total += padded[:, dy : dy + 32, dx : dx + 32]
    window: NDArray[np.float64] = (total / 25.0)[:, low:high, low:high]
    return -window.min(axis=(1, 2)) + np.median(grey, axis=(1, 2))


def area_under_curve(value: NDArray[np.float64], label: NDArray[np.int64]) -> float:
    """Return how often a random positive has a larger value than a random negative."""
    return float((value[label == 1][:, None] > value[label == 0]).mean())


def test_bytes_are_golden() -> None:
    assert digest("cells") == GOLDEN


def test_contract() -> None:
    check_contract("cells")


def test_balance() -> None:
    check_balance("cells")


def test_positive_images_hold_a_large_dark_nucleus_in_the_middle() -> None:
    images, labels = data("cells")
    assert area_under_curve(darkest_patch(images, 8, 24), labels) > 0.75


def test_the_border_tells_little() -> None:
    images, labels = data("cells")
    # The same measure on a copy whose middle is blanked out with the median brightness.
    blanked = images.copy()
    blanked[:, 4:28, 4:28] = np.median(images, axis=(1, 2), keepdims=True).astype(np.uint8)
    assert abs(area_under_curve(darkest_patch(blanked, 0, 32), labels) - 0.5) < 0.06
