"""Where tasks come from: one module for each way of reading a benchmark.

A source module offers ``load(task) -> TaskData`` and ``labels_of(task)``, which finds out cheaply,
without torch, what labels there are; a dataset yaml names it as ``source``.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType
from typing import TYPE_CHECKING, cast

from hydra_peft.data.sources._task import Task
from hydra_peft.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from hydra_peft.data.promises import SeenLabels
    from hydra_peft.data.splits import TaskData  # loads torch

__all__ = ["Task", "labels_of", "load_task"]


def labels_of(source: str, task: Task) -> SeenLabels:
    """Return what ``source`` knows of the labels of ``task``; no torch, no image is read.

    Raises:
        UserError: an unknown source or task, or data that is missing.
    """
    return cast("SeenLabels", _module(source).labels_of(task))


def load_task(source: str, task: Task) -> TaskData:
    """Return the data of ``task`` as ``source`` reads it.

    Raises:
        UserError: an unknown source or task, or data that cannot be read.
    """
    return cast("TaskData", _module(source).load(task))


def _module(source: str) -> ModuleType:
    names = [m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")]
    if source not in names:
        raise UserError(
            f"dataset.source '{source}' is unknown{did_you_mean(source, names)}: choose one of "
            f"{', '.join(names)}."
        )
    return importlib.import_module(f"{__name__}.{source}")
