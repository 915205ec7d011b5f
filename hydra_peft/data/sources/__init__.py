"""Where tasks come from: one module for each way of reading a benchmark.

A dataset yaml names a module as ``source``. The module offers two functions:

``load(request) -> TaskData`` returns the splits: :class:`~hydra_peft.data.split.Split` with any
named inputs (``image``: :class:`~hydra_peft.data.split.Images`, ``tokens``:
:class:`~hydra_peft.data.split.Ragged`) and with targets of int64, float32 or bool.

``labels_of(request) -> SeenLabels`` returns cheaply, without torch, how many targets each split has
and, where they are classes, the least and the greatest label.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, cast

from hydra_peft.data.sources._request import DataRequest
from hydra_peft.registry import find_module

if TYPE_CHECKING:
    from hydra_peft.data.promises import SeenLabels
    from hydra_peft.data.task_data import TaskData  # loads torch

__all__ = ["DataRequest", "labels_of", "load_task"]


def labels_of(source: str, request: DataRequest) -> SeenLabels:
    """Return what ``source`` knows of the labels of a task; no torch, no image is read.

    Raises:
        UserError: an unknown source or task, or data that is missing.
    """
    return cast("SeenLabels", _module(source).labels_of(request))


def load_task(source: str, request: DataRequest) -> TaskData:
    """Return the data of a task as ``source`` reads it.

    Raises:
        UserError: an unknown source or task, or data that cannot be read.
    """
    return cast("TaskData", _module(source).load(request))


def _module(source: str) -> ModuleType:
    return find_module(sys.modules[__name__], source, "dataset.source")
