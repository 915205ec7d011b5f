"""Labelled images in IDX files: MNIST and data sets of its kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image

from hydra_peft.errors import UserError
from hydra_peft.workshop.prepare.originals._base import Pool
from hydra_peft.workshop.prepare.originals._idx import read_idx
from hydra_peft.workshop.prepare.originals._source import SourceFolder

CLASSES = 10
SIZES = {"train": 60_000, "test": 10_000}
_FILES = {"train": "train", "test": "t10k"}


def idx_pools(
    source: SourceFolder,
    task: str,  # noqa: ARG001
    *,
    folder: str,
    sha256: Mapping[str, str],
) -> dict[str, Pool]:
    """Return the pools ``train`` and ``test``; keys are positions in the file.

    Args:
        folder: torchvision's for the files, which may lie in the source folder itself as well.
        sha256: of the plain content of each file, by its name without an ending.

    Raises:
        UserError: a file is missing, truncated or of another shape, or a label is out of range.
    """

    def read(name: str, axes: int) -> np.ndarray:
        places = [f"{place}{name}{end}" for place in ("", f"{folder}/") for end in (".gz", "")]
        values, found = read_idx(source.file(*places), axes)
        source.expect_sha256(name, found, sha256[name])
        return values

    return {split: _pool(source, split, read) for split in SIZES}


def _pool(source: SourceFolder, split: str, read: Callable[[str, int], np.ndarray]) -> Pool:
    images = read(f"{_FILES[split]}-images-idx3-ubyte", 3)
    labels = read(f"{_FILES[split]}-labels-idx1-ubyte", 1)
    if len(images) != len(labels):
        raise UserError(
            f"{source.folder} has {len(images):,} images and {len(labels):,} labels of {split}: "
            "the files are not of one set, fetch them again."
        )
    wrong = np.flatnonzero(labels >= CLASSES)
    if len(wrong):
        raise UserError(
            f"{source.folder}: image {wrong[0]} of {split} has the label {labels[wrong[0]]}, not "
            f"one of 0 to {CLASSES - 1}: not of {source.name}."
        )
    source.expect_count(f"images of {split}", len(images), SIZES[split])

    def image(index: int) -> Image.Image:
        return Image.fromarray(images[index])

    return Pool(range(len(images)), labels.astype(np.int64), image)
