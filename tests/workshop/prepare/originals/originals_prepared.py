"""Preparing one of several tasks of a fabricated original, with its keys, labels and images."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from originals_expected import source_of
from PIL import Image

from hydra_peft.workshop.prepare.originals._base import Key, Original
from hydra_peft.workshop.prepare.originals._order import select

LIMITS: Mapping[str, int | None] = {"train800": 4, "val200": 3, "test": None}


class Prepared(NamedTuple):
    """A split: keys, labels and images in the order of the split, and the folder's notes."""

    keys: list[Key]
    labels: list[int]
    images: list[bytes | Image.Image]

    def pixels(self, index: int) -> np.ndarray:
        """uint8 ``[h, w, 3]``, as a reader of the stored file sees it."""
        image = self.images[index]
        if isinstance(image, bytes):
            image = Image.open(io.BytesIO(image))
        return np.asarray(image.convert("RGB"))


def prepared(
    original: Original, task: str, folder: Path, limits: Mapping[str, int | None] = LIMITS
) -> dict[str, Prepared]:
    pools = original.pools(source_of(original, folder), task)
    slices = original.tasks[task]
    splits = {}
    for split, indices in select(pools, slices, limits).items():
        pool = pools[slices[split].pool]
        assert pool.labels.dtype == np.int64
        splits[split] = Prepared(
            [pool.keys[i] for i in indices],
            [int(pool.labels[i]) for i in indices],
            [pool.image(i) for i in indices],
        )
    return splits


def expected_order(keys: Sequence[Key], salt: str) -> list[int]:
    """Places of ``keys``, ascending by the integer md5(salt + key)."""

    def number(index: int) -> int:
        key = keys[index]
        text = key if isinstance(key, bytes) else str(key).encode()
        return int(hashlib.md5(salt.encode() + text).hexdigest(), 16)

    return sorted(range(len(keys)), key=number)
