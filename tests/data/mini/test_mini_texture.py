from __future__ import annotations

import numpy as np
from mini_checks import check_balance, check_contract, data, digest
from numpy.typing import NDArray

GOLDEN = "7d1dc2a335401b411c90b9e83be7c451c3748a61aaa496b87bda2e4b56fcede5"
STRIPES, CHECKS, SPOTS, MESH, BRICKS = range(5)


def direction_share(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the share of each image's spectral power within the strongest 20 degrees."""
    grey = images.astype(np.float64).mean(axis=3)
    window = np.hanning(32)[:, None] * np.hanning(32)
    flat = (grey - grey.mean(axis=(1, 2), keepdims=True)) * window
    power = np.abs(np.fft.fft2(flat)) ** 2
    fy, fx = np.meshgrid(np.fft.fftfreq(32), np.fft.fftfreq(32), indexing="ij")
    band = np.hypot(fx, fy) > 0.07
    sector = ((np.arctan2(fy, fx) % np.pi) / np.pi * 18).astype(np.int64) % 18
    sums = np.stack([power[:, band & (sector == k)].sum(axis=1) for k in range(18)], axis=1)
    pairs = sums + np.roll(sums, 1, axis=1)
    share: NDArray[np.float64] = pairs.max(axis=1) / sums.sum(axis=1)
    return share


def test_bytes_are_golden() -> None:
    assert digest("texture") == GOLDEN


def test_contract() -> None:
    check_contract("texture")


def test_balance() -> None:
    check_balance("texture")


def test_patterns_differ_in_their_directions_as_their_names_say() -> None:
    images, labels = data("texture")
    share = direction_share(images)
    mean = np.array([share[labels == k].mean() for k in range(8)])
    assert mean.argmax() == STRIPES
    # Nothing but stripes has one direction only; bricks are longer than they are high.
    assert mean[STRIPES] > 1.3 * np.delete(mean, STRIPES).max()
    assert mean[BRICKS] > 1.15 * max(mean[CHECKS], mean[SPOTS], mean[MESH])


def test_colour_and_brightness_tell_nothing_about_the_label() -> None:
    images, labels = data("texture")
    colour = images.mean(axis=(1, 2))
    centre = np.stack([colour[:1000][labels[:1000] == k].mean(axis=0) for k in range(8)])
    guess = ((colour[1000:, None] - centre) ** 2).sum(axis=2).argmin(axis=1)
    assert (guess == labels[1000:]).mean() < 0.2
