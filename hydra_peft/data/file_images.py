"""Images of prepared data as files that are decoded one by one, with the labels of their lists."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from hydra_peft.data.decodable import check_decodable
from hydra_peft.data.decoding import read_image
from hydra_peft.data.file_hashes import file_hashes
from hydra_peft.data.sources._task import Task
from hydra_peft.data.splits import SourceSplit
from hydra_peft.data.task_folders import read_split


@dataclass(frozen=True)
class FileImages:
    """Image files, decoded one by one.

    Attributes:
        files: the files, in the split's order.
        folder: the task's.
        index: where their hashes are kept.
        title: for progress bars.
    """

    files: Sequence[Path] = field(repr=False)
    folder: Path
    index: Path
    title: str

    def __len__(self) -> int:
        return len(self.files)

    def pixels(self, index: int) -> np.ndarray:
        """Return one image, see :func:`hydra_peft.data.decoding.read_image`."""
        return read_image(self.files[index])

    def name(self, index: int) -> str:
        """Return the image's path."""
        return str(self.files[index])

    @property
    def decodable(self) -> Path:
        """Where is kept which of them could be decoded."""
        return self.index.with_name(f"{self.index.stem}-decodable.safetensors")

    def check_decodable(self) -> None:
        """See :func:`hydra_peft.data.decodable.check_decodable`."""
        check_decodable(self.files, self.hashes, self.decodable, self.title)

    @cached_property
    def hashes(self) -> torch.Tensor:
        """The sha256 of each file, uint8 ``[n, 32]``."""
        return file_hashes(self.files, self.folder, self.index, self.title)

    @cached_property
    def sha256(self) -> str:
        """Hash of the files' hashes, in order; names do not count."""
        return hashlib.sha256(self.hashes.numpy().data).hexdigest()


def load_split(folder: Path, split: str, task: Task) -> SourceSplit:
    """Return one split of the task in ``folder``.

    Raises:
        UserError: a list is missing or malformed, or a link out of the folder.
    """
    joined = read_split(folder, split, task.classes)
    where = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
    index = task.cache / "hashes" / f"{task.name}-{split}-{where}.safetensors"
    paths = [folder / path for path in joined.paths]
    images = FileImages(paths, folder, index, f"{task.name} {split}")
    return SourceSplit(images, torch.tensor(joined.labels, dtype=torch.int64))


def labelled_files(split: SourceSplit) -> list[tuple[Path, int]]:
    """Return file and label of each image of a split that :func:`load_split` gave."""
    assert isinstance(split.images, FileImages)
    return list(zip(split.images.files, split.labels.tolist(), strict=True))
