from __future__ import annotations

import numpy as np
from mini_checks import check_balance, check_contract, data, digest, sprite_pixels

GOLDEN = "a63738839ed8e40dd21798c853e07886e58bf23b6b8cf93d41a876ed04b5150c"


def test_bytes_are_golden() -> None:
    assert digest("sprites_location") == GOLDEN


def test_contract() -> None:
    check_contract("sprites_location")


def test_balance() -> None:
    check_balance("sprites_location")


def test_label_is_the_column_of_the_measured_centroid() -> None:
    images, labels = data("sprites_location")
    chosen = range(0, len(images), 10)
    centroid = np.array([sprite_pixels(images[k])[:, 1].mean() + 0.5 for k in chosen])
    # Sixteen columns share the pixels from 5 to 27.
    column = np.floor((centroid - 5.0) / (22.0 / 16)).astype(np.int64)
    gap = np.abs(column - labels[list(chosen)])
    assert (gap <= 1).mean() > 0.93
    assert (gap == 0).mean() > 0.6


def test_height_tells_nothing_about_the_label() -> None:
    images, labels = data("sprites_location")
    chosen = range(0, len(images), 10)
    height = np.array([sprite_pixels(images[k])[:, 0].mean() for k in chosen])
    assert abs(np.corrcoef(height, labels[list(chosen)])[0, 1]) < 0.2
    assert height.std() > 4.0
