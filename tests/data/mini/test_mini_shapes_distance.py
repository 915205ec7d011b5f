from __future__ import annotations

import numpy as np
from mini_checks import check_balance, check_contract, data, digest
from numpy.typing import NDArray

GOLDEN = "d955ee6dce86a74193ddec3d272dd6f5485642b5ad2147b16c89fc777fa61810"


def coloured(images: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return where images [n, 32, 32, 3] show an object: their colours are far from grey."""
    spread = images.max(axis=3).astype(np.int64) - images.min(axis=3)
    return spread > 75


def lowest_row(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return how far down each image the objects reach, in pixels from its top."""
    # Two pixels at least, so that a noisy one does not count.
    rows = coloured(images).sum(axis=2) >= 2
    return 32.0 - rows[:, ::-1].argmax(axis=1)


def test_bytes_are_golden() -> None:
    assert digest("shapes_distance") == GOLDEN


def test_contract() -> None:
    check_contract("shapes_distance")


def test_balance() -> None:
    check_balance("shapes_distance")


def test_label_is_the_depth_of_the_lowest_foot() -> None:
    images, labels = data("shapes_distance")
    # A horizon at 7.5 and ground 34 pixels below it at depth one; labels share 1.6 to 4.6.
    depth = 34.0 / np.maximum(lowest_row(images) - 7.5, 1.0)
    step = np.floor(6.0 * np.log(depth / 1.6) / np.log(4.6 / 1.6))
    gap = np.abs(np.clip(step, 0, 5) - labels)
    assert (gap <= 1).mean() > 0.93
    assert (gap == 0).mean() > 0.5


def test_height_in_the_image_beats_size_as_a_clue() -> None:
    images, labels = data("shapes_distance")
    area = coloured(images).sum(axis=(1, 2))
    by_row = np.corrcoef(lowest_row(images), labels)[0, 1]
    by_area = np.corrcoef(np.sqrt(area), labels)[0, 1]
    assert by_row < by_area < -0.3
    assert by_row < -0.9
