from __future__ import annotations

import numpy as np
from mini_checks import check_contract, data, digest

GOLDEN = "c7eb23c6aa0fbf9dd9c8f49dc37e18c9267bdcbf18ffd15a9c7c370746906f88"


def test_bytes_are_golden() -> None:
    assert digest("digits") == GOLDEN


def test_contract() -> None:
    check_contract("digits")


def test_labels_follow_their_source_image() -> None:
    from sklearn.datasets import load_digits

    source = load_digits()
    images, labels = data("digits")
    blocks = images[..., 0].reshape(-1, 8, 4, 8, 4).mean(axis=(2, 4)).reshape(-1, 64)
    for sample in range(0, len(blocks), 37):
        gaps = ((source.images.reshape(-1, 64) * 255 / 16 - blocks[sample]) ** 2).sum(axis=1)
        assert source.target[gaps.argmin()] == labels[sample]


def test_every_source_image_is_used_once() -> None:
    from sklearn.datasets import load_digits

    source = load_digits()
    images, labels = data("digits")
    assert np.array_equal(np.bincount(labels), np.bincount(source.target))
    # The corner pixel keeps the source's value; the total of all corners is kept by a shuffle.
    corners = np.rint(source.images[:, 0, 0] * 255 / 16).sum()
    assert images[:, 0, 0, 0].astype(np.int64).sum() == corners


def test_channels_are_equal_and_reach_both_ends() -> None:
    images, _ = data("digits")
    assert np.array_equal(images[..., 0], images[..., 1])
    assert np.array_equal(images[..., 0], images[..., 2])
    assert images.min() == 0
    assert images.max() == 255


def test_training_and_test_set_hold_all_digits_in_similar_shares() -> None:
    labels = data("digits")[1]
    for part in (labels[:800], labels[800:1000], labels[1000:]):
        shares = np.bincount(part, minlength=10) / len(part)
        assert shares.min() > 0.05
        assert shares.max() < 0.16
