"""Where tasks come from: one module for each way of reading a benchmark.

A source module offers ``load(task) -> TaskData`` and ``check(task)``, which finds out cheaply
whether the data is there; a dataset yaml names it as ``source``.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, cast

from hydra_peft.data.sources._task import Task
from hydra_peft.registry import find_module

if TYPE_CHECKING:
    from hydra_peft.data.splits import TaskData  # loads torch

__all__ = ["Task", "check_task_is_there", "load_task"]


def check_task_is_there(source: str, task: Task) -> None:
    """Check, without reading images, that ``source`` has the data of ``task``.

    Raises:
        UserError: an unknown source or task, or data that is missing.
    """
    _module(source).check(task)


def load_task(source: str, task: Task) -> TaskData:
    """Return the data of ``task`` as ``source`` reads it.

    Raises:
        UserError: an unknown source or task, or data that cannot be read.
    """
    return cast("TaskData", _module(source).load(task))


def _module(source: str) -> ModuleType:
    return find_module(sys.modules[__name__], source, "dataset.source")
