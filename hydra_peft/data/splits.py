"""A task's images and labels, by split: as a source holds them, and as a model takes them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from hydra_peft.errors import UserError

LABELLED = 1000
TRAIN800 = 800


class Images(Protocol):
    """Images of one split in their own sizes, read one by one."""

    def __len__(self) -> int: ...

    def pixels(self, index: int) -> np.ndarray:
        """Return one image as RGB, uint8 ``[height, width, 3]``.

        Raises:
            UserError: the image cannot be read.
        """
        ...

    def name(self, index: int) -> str:
        """Return what to call the image in a message."""
        ...

    def check_decodable(self) -> None:
        """Check, once for each content, that every image can be read.

        Raises:
            UserError: one cannot; the message names it.
        """
        ...

    @property
    def hashes(self) -> Tensor:
        """The sha256 of each image's content, uint8 ``[n, 32]``."""
        ...

    @property
    def sha256(self) -> str:
        """Hash of the content of all images, in order."""
        ...


@dataclass(frozen=True)
class ArrayImages:
    """Images of equal size that are in memory: uint8 ``[n, height, width, 3]``."""

    array: Tensor

    def __len__(self) -> int:
        return len(self.array)

    def pixels(self, index: int) -> np.ndarray:
        """Return one image, uint8 ``[height, width, 3]``."""
        return self.array[index].numpy()

    def name(self, index: int) -> str:
        """Return the image's number."""
        return f"image {index}"

    def check_decodable(self) -> None:
        """Do nothing: what is in memory is decoded."""

    @property
    def hashes(self) -> Tensor:
        """The sha256 of each image's bytes, uint8 ``[n, 32]``."""
        digests = [hashlib.sha256(image.contiguous().numpy().data).digest() for image in self.array]
        return torch.frombuffer(bytearray(b"".join(digests)), dtype=torch.uint8).view(-1, 32)

    @property
    def sha256(self) -> str:
        """Hash of the bytes of all images."""
        return hashlib.sha256(self.array.contiguous().numpy().data).hexdigest()


@dataclass(frozen=True)
class SourceSplit:
    """One split as its source holds it.

    Attributes:
        images: in their own sizes.
        labels: int64 ``[n]``.
    """

    images: Images
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def sha256(self) -> str:
        """Return the hash of images and labels, in order."""
        digest = hashlib.sha256(self.images.sha256.encode())
        digest.update(self.labels.contiguous().numpy().data)
        return digest.hexdigest()


@dataclass(frozen=True)
class TaskData:
    """Splits of a task by name, and where they come from.

    Attributes:
        splits: of ``train800``, ``val200``, ``train`` (both together) and ``test``, those asked
            for.
        lineage: ``generated``, ``originals`` (prepared here from the original files) or
            ``archive`` (prepared by someone else).
        partial: whether it was prepared from an incomplete original; sizes may be right all the
            same.
        notes: sentences on how it differs from the community's data.
    """

    splits: Mapping[str, SourceSplit]
    lineage: str
    partial: bool = False
    notes: tuple[str, ...] = ()

    def describe(self) -> dict[str, object]:
        """Return what a record says of the data: hashes, counts, lineage, and what is amiss."""
        hashes = {name: split.sha256() for name, split in sorted(self.splits.items())}
        whole = hashlib.sha256(" ".join(hashes.values()).encode()).hexdigest()
        counts = {name: len(split) for name, split in sorted(self.splits.items())}
        return {
            "sha256": whole,
            "splits": hashes,
            "counts": counts,
            "lineage": self.lineage,
            "partial": self.partial,
            "notes": list(self.notes),
        }


class Pixels(Protocol):
    """Images of one split in the size a model takes; a tensor is one."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice) -> Tensor:
        """Return consecutive images, uint8 ``[k, height, width, 3]``."""
        ...


@dataclass(frozen=True)
class ImageSplit:
    """One split as a model takes it.

    Attributes:
        images: uint8 ``[n, height, width, 3]``, in memory or read when sliced.
        labels: int64 ``[n]``.
    """

    images: Tensor | Pixels
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


def split_arrays(images: Tensor, labels: Tensor) -> dict[str, SourceSplit]:
    """Split arrays whose first 800 rows are train800, the next 200 val200, the rest the test set.

    Args:
        images: uint8 ``[n, height, width, 3]``.
        labels: int64 ``[n]``.
    """

    def rows(start: int, stop: int | None) -> SourceSplit:
        return SourceSplit(ArrayImages(images[start:stop]), labels[start:stop])

    return {
        "train800": rows(0, TRAIN800),
        "val200": rows(TRAIN800, LABELLED),
        "train": rows(0, LABELLED),
        "test": rows(LABELLED, None),
    }


def check_task(
    data: TaskData, *, name: str, classes: int, sizes: Mapping[str, int], allow_partial: bool
) -> bool:
    """Check loaded data against what its yaml promises.

    Returns:
        Whether the data is partial: a split has another size, or it was prepared from an
        incomplete original; only where ``allow_partial`` is true.

    Raises:
        UserError: partial data that is not allowed, or other classes than ``classes``.
    """
    partial = data.partial
    for split, content in data.splits.items():
        if len(content) != sizes[split]:
            partial = True
            if not allow_partial:
                raise UserError(
                    f"dataset {name} has {len(content)} images in {split} where its yaml says "
                    f"{sizes[split]}: mend the data (scripts/check_data.py says more), or set "
                    "data.allow_partial=true."
                )
    if data.partial and not allow_partial:
        raise UserError(
            f"dataset {name} was prepared from an incomplete original, as its manifest.json says: "
            "complete the original and prepare the task again, or set data.allow_partial=true."
        )
    _check_classes(data, name, classes, allow_partial)
    return partial


def _check_classes(data: TaskData, name: str, classes: int, allow_partial: bool) -> None:
    """Check that labels lie below ``classes``, and reach it where all of them are there to see."""
    highest = 0
    for split, content in data.splits.items():
        low, high = int(content.labels.min()), int(content.labels.max())
        highest = max(highest, high)
        if low < 0 or high >= classes:
            raise UserError(
                f"dataset {name} has labels from {low} to {high} in {split}, but dataset.classes="
                f"{classes}: labels must lie below it; mend the data or dataset.classes."
            )
    # The 1000 of a task with hundreds of classes may lack some of them.
    complete = data.lineage == "generated" or "test" in data.splits
    if complete and highest + 1 < classes and not allow_partial:
        raise UserError(
            f"dataset {name} has labels from 0 to {highest}, but dataset.classes={classes}: set "
            f"dataset.classes={highest + 1}, or data.allow_partial=true where images of the last "
            "classes are missing."
        )


def content_hash(images: Tensor, labels: Tensor) -> str:
    """Return the sha256 over the bytes of ``images``, then ``labels``."""
    digest = hashlib.sha256(images.contiguous().numpy().data)
    digest.update(labels.contiguous().numpy().data)
    return digest.hexdigest()


def to_tensor(split: ImageSplit) -> Tensor:
    """Return all images of ``split`` in memory, uint8 ``[n, height, width, 3]``."""
    images = split.images
    return images if isinstance(images, torch.Tensor) else images[0 : len(split)]
