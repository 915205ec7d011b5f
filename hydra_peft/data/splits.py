"""A task's images and labels, split as VTAB-1k splits them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from hydra_peft.errors import UserError

LABELLED = 1000
TRAIN800 = 800


@dataclass(frozen=True)
class ImageSplit:
    """Images and labels of one split, in memory.

    Attributes:
        images: uint8 ``[n, height, width, 3]``.
        labels: int64 ``[n]``.
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class TaskData:
    """All splits of a task by name, and the hash of its content.

    Attributes:
        splits: ``train800``, ``val200``, ``train`` (both together) and ``test``.
        sha256: over the bytes of all images, then all labels, before any resizing.
    """

    splits: dict[str, ImageSplit]
    sha256: str


def split_task(images: Tensor, labels: Tensor) -> TaskData:
    """Split arrays whose first 800 rows are train800, the next 200 val200, the rest the test set.

    Args:
        images: uint8 ``[n, height, width, 3]``.
        labels: int64 ``[n]``.
    """

    def rows(start: int, stop: int | None) -> ImageSplit:
        return ImageSplit(images[start:stop], labels[start:stop])

    splits = {
        "train800": rows(0, TRAIN800),
        "val200": rows(TRAIN800, LABELLED),
        "train": rows(0, LABELLED),
        "test": rows(LABELLED, None),
    }
    return TaskData(splits, content_hash(images, labels))


def content_hash(images: Tensor, labels: Tensor) -> str:
    """Return the sha256 over the bytes of ``images``, then ``labels``."""
    digest = hashlib.sha256(images.contiguous().numpy().data)
    digest.update(labels.contiguous().numpy().data)
    return digest.hexdigest()


def check_task(data: TaskData, *, name: str, classes: int, test_size: int) -> None:
    """Check loaded data against what its yaml promises.

    Raises:
        UserError: another number of test images, or a label outside ``[0, classes)``.
    """
    labels = torch.cat([data.splits["train"].labels, data.splits["test"].labels])
    if len(data.splits["test"]) != test_size:
        raise UserError(
            f"dataset {name} has {len(data.splits['test'])} test images where its yaml says "
            f"test_size={test_size}: mend the data or the yaml."
        )
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        raise UserError(
            f"dataset {name} has labels from {low} to {high} where its yaml says "
            f"classes={classes}: mend the data or the yaml."
        )
