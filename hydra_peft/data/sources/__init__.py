"""Where tasks come from: one module for each way of reading a benchmark.

A source module offers ``load(task) -> TaskData`` and ``labels_of(task)``, which finds out cheaply,
without torch, what labels there are; a dataset yaml names it as ``source``.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, cast

from hydra_peft.data.sources._task import Task
from hydra_peft.registry import find_module

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
    return find_module(sys.modules[__name__], source, "dataset.source")
