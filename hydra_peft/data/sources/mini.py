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
from hydra_peft.data.sources._task import Task
from hydra_peft.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from torch import Tensor

    from hydra_peft.data.splits import TaskData


def labels_of(task: Task) -> SeenLabels:
    """Return the labels that a generated task has.

    Raises:
        UserError: there is no task of that name.
    """
    module = _generator(task.name)
    sizes = sizes_of(module)
    ranges = {split: LabelRange(sizes[split], 0, module.CLASSES - 1) for split in task.splits}
    return SeenLabels(ranges, lineage="generated")


def sizes_of(module: ModuleType) -> dict[str, int]:
    """Return how many images each split has of the task that ``module`` generates."""
    labelled = {"train800": TRAIN_SIZE, "val200": VAL_SIZE, "train": LABELLED_SIZE}
    return {**labelled, "test": module.TEST_SIZE}


def load(task: Task) -> TaskData:
    """Return a generated task, from the cache if the code that generates it is unchanged.

    Raises:
        UserError: no task of that name, or a cache folder that cannot be written.
    """
    import torch

    from hydra_peft.data.cache import cached_arrays
    from hydra_peft.data.splits import TaskData, split_arrays

    module = _generator(task.name)

    def make() -> tuple[Tensor, Tensor]:
        images, labels = module.generate()
        return torch.from_numpy(images), torch.from_numpy(labels)

    path = task.cache / "mini" / f"{task.name}-{generator_version()}.safetensors"
    splits = split_arrays(*cached_arrays(path, make))
    return TaskData({name: splits[name] for name in task.splits}, "generated")


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
    if name not in tasks:
        raise UserError(
            f"benchmark mini has no task '{name}'{did_you_mean(name, tasks)}: choose one of "
            f"{', '.join(tasks)}."
        )
    return modules[name]


def _folder(package: ModuleType) -> Path:
    return Path(package.__path__[0])
