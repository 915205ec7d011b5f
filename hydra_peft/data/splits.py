"""A task's images and labels, by split: as a source holds them, and as a model takes them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from hydra_peft.data.promises import LabelRange, SeenLabels, check_promises

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
    """Check loaded data against its yaml, see :func:`hydra_peft.data.promises.check_promises`."""
    ranges = {split: LabelRange.of(one.labels.tolist()) for split, one in data.splits.items()}
    seen = SeenLabels(ranges, data.lineage, data.partial)
    return check_promises(
        seen, name=name, classes=classes, sizes=sizes, allow_partial=allow_partial
    )


def content_hash(images: Tensor, labels: Tensor) -> str:
    """Return the sha256 over the bytes of ``images``, then ``labels``."""
    digest = hashlib.sha256(images.contiguous().numpy().data)
    digest.update(labels.contiguous().numpy().data)
    return digest.hexdigest()
