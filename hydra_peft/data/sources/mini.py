"""Benchmark ``mini``: tasks that are generated, not downloaded."""

from __future__ import annotations

import hashlib
import importlib
import pkgutil
from functools import cache as memoised
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import hydra_peft.data.mini
import hydra_peft.data.rendering
from hydra_peft.data.mini.layout import LABELLED_SIZE, TRAIN_SIZE, VAL_SIZE
from hydra_peft.data.promises import LabelRange, SeenLabels
from hydra_peft.data.sources._request import DataRequest
from hydra_peft.errors import UserError, check_one_of

if TYPE_CHECKING:
    from torch import Tensor

    from hydra_peft.data.split import Split
    from hydra_peft.data.task_data import TaskData


def labels_of(request: DataRequest) -> SeenLabels:
    """Return the labels that a generated task has.

    Raises:
        UserError: there is no task or split of that name.
    """
    module = _generator(request.name)
    sizes = sizes_of(module)
    for split in request.splits:
        if split not in sizes:
            raise UserError(
                f"task '{request.name}' of benchmark mini has no split '{split}': choose one of "
                f"{', '.join(sizes)}."
            )
    ranges = {split: LabelRange(sizes[split], 0, module.CLASSES - 1) for split in request.splits}
    return SeenLabels(ranges, lineage="generated")


def sizes_of(module: ModuleType) -> dict[str, int]:
    """Return the number of images in each split of the task that ``module`` generates."""
    labelled = {"train800": TRAIN_SIZE, "val200": VAL_SIZE, "train": LABELLED_SIZE}
    return {**labelled, "test": module.TEST_SIZE}


def load(request: DataRequest) -> TaskData:
    """Return a generated task, from the cache if the code that generates it is unchanged.

    Raises:
        UserError: no task of that name, or a cache folder that cannot be written.
    """
    import torch

    from hydra_peft.data.cache import cached_arrays
    from hydra_peft.data.task_data import TaskData

    module = _generator(request.name)

    def make() -> tuple[Tensor, Tensor]:
        images, labels = module.generate()
        return torch.from_numpy(images), torch.from_numpy(labels)

    path = request.cache / "mini" / f"{request.name}-{generator_version()}.safetensors"
    splits = split_arrays(*cached_arrays(path, make))
    return TaskData({name: splits[name] for name in request.splits}, "generated")


def split_arrays(images: Tensor, labels: Tensor) -> dict[str, Split]:
    """Split arrays whose first 800 rows are train800, the next 200 val200, the rest the test set.

    Args:
        images: uint8 ``[n, height, width, 3]``.
        labels: int64 ``[n]``.
    """
    from hydra_peft.data.images import ArrayImages
    from hydra_peft.data.split import Split

    rows = {
        "train800": slice(TRAIN_SIZE),
        "val200": slice(TRAIN_SIZE, LABELLED_SIZE),
        "train": slice(LABELLED_SIZE),
        "test": slice(LABELLED_SIZE, None),
    }
    return {
        name: Split({"image": ArrayImages(images[part])}, labels[part])
        for name, part in rows.items()
    }


@memoised
def generator_version() -> str:
    """Return a hash of the code that generates tasks: another code, another cache file."""
    digest = hashlib.sha256()
    for package in (hydra_peft.data.mini, hydra_peft.data.rendering):
        for file in sorted(_folder(package).glob("*.py")):
            digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:12]


def _generator(name: str) -> ModuleType:
    """Return the module that generates the task ``name``; the package has others beside them."""
    package = hydra_peft.data.mini
    modules = {
        one.name: importlib.import_module(f"{package.__name__}.{one.name}")
        for one in pkgutil.iter_modules(package.__path__)
    }
    tasks = [one for one, module in modules.items() if hasattr(module, "generate")]
    check_one_of("task", name, tasks)
    return modules[name]


def _folder(package: ModuleType) -> Path:
    return Path(package.__path__[0])
