"""Folders of small images, one a class, as people have them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image


def write_images(folder: Path, count: int, *, seed: int = 0, suffix: str = ".png") -> list[Path]:
    """Write ``count`` images of noise, all of them different, and return their files."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.RandomState(seed)
    files = [folder / f"{number:03d}{suffix}" for number in range(count)]
    for file in files:
        Image.fromarray(random.randint(0, 256, (6, 8, 3), np.uint8)).save(file)
    return files


def write_classes(root: Path, counts: Mapping[str, int], *, seed: int = 0) -> Path:
    """Write so many images of each class below ``root``, and return it."""
    for number, (name, count) in enumerate(counts.items()):
        write_images(root / name, count, seed=1000 * seed + number)
    return root
