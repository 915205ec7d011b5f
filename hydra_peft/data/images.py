"""Images of a source, in their own sizes: in memory, or encoded and decoded one by one."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from abc import abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hydra_peft.data.decodable import check_decodable
from hydra_peft.data.decoding import Encoded, read_image
from hydra_peft.data.file_hashes import file_hashes
from hydra_peft.data.list_files import read_label_split, read_split
from hydra_peft.data.sources._request import DataRequest
from hydra_peft.data.split import Images, Split, sha256_rows
from hydra_peft.files import real_path


@dataclass(frozen=True)
class ArrayImages(Images):
    """Images of equal size that are in memory: uint8 ``[n, height, width, 3]``."""

    array: Tensor

    def __len__(self) -> int:
        return len(self.array)

    def pixels(self, index: int) -> np.ndarray:
        """Return one image, uint8 ``[height, width, 3]``."""
        return self.array[index].numpy()

    @property
    def hashes(self) -> Tensor:
        """The sha256 of each image's bytes, uint8 ``[n, 32]``."""
        return sha256_rows(image.contiguous().numpy().data for image in self.array)

    @property
    def sha256(self) -> str:
        """Hash of the bytes of all images."""
        return hashlib.sha256(self.array.contiguous().numpy().data).hexdigest()

    def part(self, rows: Sequence[int], name: str) -> ArrayImages:  # noqa: ARG002
        """Return the images at ``rows``."""
        return ArrayImages(self.array[torch.tensor(rows, dtype=torch.int64)])


@dataclass(frozen=True)
class EncodedImages(Images):
    """Encoded images, decoded one by one.

    Attributes:
        files: where each is, in the split's order; as text, for messages.
        index: where their hashes are kept.
        title: for progress bars.
        known: their hashes, uint8 ``[n, 32]``, where they have been computed already.
    """

    files: Sequence[Encoded] = field(repr=False)
    index: Path
    title: str
    known: Tensor | None = field(default=None, repr=False, compare=False, kw_only=True)

    def __len__(self) -> int:
        return len(self.files)

    def pixels(self, index: int) -> np.ndarray:
        """Return one image, see :func:`hydra_peft.data.decoding.read_image`."""
        return read_image(self.files[index])

    @property
    def decodable(self) -> Path:
        """File that keeps which images could be decoded."""
        return self.index.with_name(f"{self.index.stem}-decodable.safetensors")

    def check_decodable(self) -> None:
        """See :func:`hydra_peft.data.decodable.check_decodable`."""
        check_decodable(self.files, self.hashes, self.decodable, self.title)

    @cached_property
    def hashes(self) -> Tensor:
        """The sha256 of each encoded image, uint8 ``[n, 32]``."""
        return self.computed_hashes() if self.known is None else self.known

    @abstractmethod
    def computed_hashes(self) -> Tensor:
        """Return the sha256 of each encoded image, or those that are kept."""

    def part(self, rows: Sequence[int], name: str) -> EncodedImages:
        """Return the images at ``rows``; what has been hashed already is not hashed again."""
        known = vars(self).get("hashes", self.known)
        title = self.title.rsplit(" ", 1)[0]
        return dataclasses.replace(
            self,
            files=[self.files[row] for row in rows],
            index=self.index.with_name(f"{self.index.stem}-{name}.safetensors"),
            title=f"{title} {name}",
            known=None if known is None else known[torch.tensor(rows, dtype=torch.int64)],
        )

    @cached_property
    def sha256(self) -> str:
        """Hash of the images' hashes, in order; names do not count."""
        return hashlib.sha256(self.hashes.numpy().data).hexdigest()


@dataclass(frozen=True)
class FileImages(EncodedImages):
    """Image files, decoded one by one.

    Attributes:
        files: the files, in the split's order.
        folder: the task's.
    """

    files: Sequence[Path] = field(repr=False)
    folder: Path

    def computed_hashes(self) -> Tensor:
        """See :func:`hydra_peft.data.file_hashes.file_hashes`."""
        return file_hashes(self.files, self.folder, self.index, self.title)


def load_split(folder: Path, name: str, request: DataRequest) -> Split:
    """Return the split ``name`` of the task in ``folder``.

    Raises:
        UserError: a list is missing or malformed, or a link out of the folder.
    """
    joined = read_split(folder, name, request.classes)
    images = _files(folder, joined.paths, name, request)
    return Split({"image": images}, torch.tensor(joined.labels, dtype=torch.int64))


def load_label_split(folder: Path, name: str, request: DataRequest) -> Split:
    """Return the split ``name`` of a task whose images have any number of labels.

    Raises:
        UserError: as :func:`load_split`.
    """
    joined = read_label_split(folder, name, request.classes)
    images = _files(folder, joined.paths, name, request)
    targets = torch.zeros(len(images), request.classes, dtype=torch.bool)
    for row, labels in enumerate(joined.labels):
        targets[row, list(labels)] = True
    return Split({"image": images}, targets)


def _files(folder: Path, listed: Sequence[str], name: str, request: DataRequest) -> FileImages:
    where = hashlib.sha256(os.fsencode(real_path(folder))).hexdigest()[:16]
    index = request.cache / "hashes" / f"{request.name}-{name}-{where}.safetensors"
    paths = [folder / path for path in listed]
    return FileImages(paths, index, f"{request.name} {name}", folder)


def files_of(split: Split) -> FileImages:
    """Return the images of a split that :func:`load_split` gave."""
    images = split.inputs["image"]
    assert isinstance(images, FileImages)
    return images


def labelled_files(split: Split) -> list[tuple[Path, Hashable]]:
    """Return file and label of each image of a split that :func:`load_split` gave."""
    return list(zip(files_of(split).files, labels_of(split), strict=True))


def labels_of(split: Split) -> list[Hashable]:
    """Return the label of each example of a split; of those with several all, as a tuple."""
    if split.targets.dtype != torch.bool:
        return split.targets.tolist()
    return [tuple(row.nonzero().flatten().tolist()) for row in split.targets]
