"""Measurements shared by the tests of `mini`; none of them uses the drawing code."""

from __future__ import annotations

import functools
import hashlib
import importlib
from typing import Any

import numpy as np
from few_images import generated
from numpy.typing import NDArray

LABELLED = 1000
TRAIN = 800


def task(name: str) -> Any:
    """Return the module of one task."""
    return importlib.import_module(f"hydra_peft.data.mini.{name}")


@functools.cache
def data(name: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return images and labels of one task, generated once per test run and read-only."""
    images, labels = (array.copy() for array in generated(name))
    images.setflags(write=False)
    labels.setflags(write=False)
    return images, labels


def digest(name: str) -> str:
    """Return the sha256 of a task's images followed by its labels, in C order."""
    images, labels = data(name)
    little_endian = labels.astype("<i8")
    return hashlib.sha256(images.tobytes() + little_endian.tobytes()).hexdigest()


def check_contract(name: str) -> None:
    """Assert shapes, types, label range and that no test image is a training image."""
    module = task(name)
    images, labels = data(name)
    assert images.shape == (LABELLED + module.TEST_SIZE, 32, 32, 3)
    assert images.dtype == np.uint8
    assert images.flags.c_contiguous
    assert labels.shape == (len(images),)
    assert labels.dtype == np.int64
    assert set(labels.tolist()) == set(range(module.CLASSES))
    assert len({image.tobytes() for image in images}) == len(images)


def check_balance(name: str) -> None:
    """Assert that class sizes differ by at most one within each split."""
    module = task(name)
    labels = data(name)[1]
    for part in (labels[:TRAIN], labels[TRAIN:LABELLED], labels[LABELLED:]):
        sizes = np.bincount(part, minlength=module.CLASSES)
        assert sizes.max() - sizes.min() <= 1


def components(mask: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """Return the pixels (y, x) [k, 2] of each 4-connected region, by flood fill, largest first."""
    left = {(int(y), int(x)) for y, x in zip(*np.nonzero(mask), strict=True)}
    regions = []
    while left:
        queue = [left.pop()]
        for y, x in queue:
            for near in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                if near in left:
                    left.remove(near)
                    queue.append(near)
        regions.append(np.array(queue))
    return sorted(regions, key=len, reverse=True)


def colour_gap(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return each pixel's distance [32, 32] from the median colour of the image, lightly blurred.

    Every task with a plain background covers well under half of it with objects.
    """
    values = image.astype(np.float64)
    smooth = values.copy()
    smooth[1:-1, 1:-1] = (
        sum(
            values[1 + dy : 31 + dy, 1 + dx : 31 + dx] * (4 if dy == dx == 0 else 1)
            for dy, dx in ((0, 0), (0, 1), (1, 0), (0, -1), (-1, 0))
        )
        / 8.0
    )
    median = np.median(values.reshape(-1, 3), axis=0)
    gap: NDArray[np.float64] = np.sqrt(((smooth - median) ** 2).sum(axis=2))
    return gap


def sprite_pixels(image: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the pixels (y, x) of the largest region that stands out from the background."""
    gap = colour_gap(image)
    return components(gap > 0.5 * np.sort(gap.ravel())[-12])[0]
