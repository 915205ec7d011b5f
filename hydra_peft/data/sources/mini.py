"""Benchmark ``mini``: tasks that are generated, not downloaded."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
from functools import cache as memoised
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

import hydra_peft.data.mini
import hydra_peft.rendering
from hydra_peft.data.cache import cached_arrays
from hydra_peft.data.sources._task import Task
from hydra_peft.data.splits import TaskData, split_arrays
from hydra_peft.errors import UserError


def check(task: Task) -> None:
    """Check that there is a generated task of that name.

    Raises:
        UserError: there is none.
    """
    if importlib.util.find_spec(f"hydra_peft.data.mini.{task.name}") is None:
        raise UserError(f"benchmark mini has no task '{task.name}': see conf/dataset/mini.")


def load(task: Task) -> TaskData:
    """Return a generated task, from the cache if the code that generates it is unchanged.

    Raises:
        UserError: no task of that name, or a cache folder that cannot be written.
    """
    check(task)
    module = importlib.import_module(f"hydra_peft.data.mini.{task.name}")

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
    for package in (hydra_peft.data.mini, hydra_peft.rendering):
        for file in sorted(_folder(package).glob("*.py")):
            digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:12]


def _folder(package: ModuleType) -> Path:
    return Path(package.__path__[0])
