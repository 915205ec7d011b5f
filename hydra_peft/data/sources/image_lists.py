"""Prepared data on disk: list files and images, the layout of the community's VTAB-1k archives.

``<folder>/{train800,val200,train800val200,test}.txt`` name images below the task's folder, as
NOAH's script (ZhangYuanhan-AI/NOAH, ``data/vtab-source``) and ``scripts/prepare_data.py`` write
them.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from hydra_peft.data.contradictions import with_two_labels
from hydra_peft.data.decodable import check_decodable
from hydra_peft.data.decoding import read_image
from hydra_peft.data.file_hashes import file_hashes
from hydra_peft.data.image_lists import MAX_BYTES, ImageList, read_list
from hydra_peft.data.manifests import Manifest, read_manifest
from hydra_peft.data.sources._task import Task
from hydra_peft.data.splits import SourceSplit, TaskData
from hydra_peft.data.task_files import TaskFiles
from hydra_peft.data.task_folders import list_files, task_folder
from hydra_peft.errors import UserError

MANIFEST = "manifest.json"


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


def check(task: Task) -> None:
    """Check, without reading images, that the task's folder and its lists are there.

    Raises:
        UserError: they are not.
    """
    folder = task_folder(task)
    for split in task.splits:
        list_files(folder, split)


def load(task: Task) -> TaskData:
    """Return the splits of ``task`` that it asks for.

    Raises:
        UserError: the folder, a list or an image is missing, a list or manifest is malformed, or
            one file is listed with two labels.
    """
    folder = task_folder(task)
    splits = {split: load_split(folder, split, task) for split in task.splits}
    if twice := with_two_labels({name: labelled_files(split) for name, split in splits.items()}):
        raise UserError(
            f"dataset {task.name}: {len(twice)} files are listed with two labels, such as "
            f"{twice[0]}: mend the lists (scripts/check_data.py says more)."
        )
    manifest = manifest_of(folder)
    if manifest is None:
        return TaskData(splits, "archive")
    return TaskData(splits, "originals", manifest.partial, tuple(manifest.notes))


def load_split(folder: Path, split: str, task: Task) -> SourceSplit:
    """Return one split of the task in ``folder``.

    Raises:
        UserError: a list is missing or malformed, or a link out of the folder.
    """
    files = list_files(folder, split)
    for file in files:
        TaskFiles(folder).status(file, MAX_BYTES)
    lists = [read_list(file, task.classes) for file in files]
    joined = ImageList(
        [p for one in lists for p in one.paths], [x for y in lists for x in y.labels]
    )
    where = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
    index = task.cache / "hashes" / f"{task.name}-{split}-{where}.safetensors"
    paths = [folder / path for path in joined.paths]
    images = FileImages(paths, folder, index, f"{task.name} {split}")
    return SourceSplit(images, torch.tensor(joined.labels, dtype=torch.int64))


def labelled_files(split: SourceSplit) -> list[tuple[Path, int]]:
    """Return file and label of each image of a split that :func:`load_split` gave."""
    assert isinstance(split.images, FileImages)
    return list(zip(split.images.files, split.labels.tolist(), strict=True))


def manifest_of(folder: Path) -> Manifest | None:
    """Return the manifest in a task's folder, None where the task has none.

    Raises:
        UserError: it is malformed, no ordinary file, or a link out of the folder.
    """
    path = folder / MANIFEST
    if not os.path.lexists(path):
        return None
    TaskFiles(folder).status(path)
    return read_manifest(path)
