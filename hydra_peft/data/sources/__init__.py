"""Where tasks come from: one module for each way of reading a benchmark.

A source module offers ``load(task, cache) -> TaskData``; a dataset yaml names it as ``source``.
"""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from typing import cast

from hydra_peft.data.splits import TaskData
from hydra_peft.errors import UserError, did_you_mean


def check_source(source: str) -> None:
    """Check that a source of that name exists.

    Raises:
        UserError: there is none; the message lists those there are.
    """
    names = [m.name for m in pkgutil.iter_modules(__path__)]
    if source not in names:
        raise UserError(
            f"dataset.source '{source}' is unknown{did_you_mean(source, names)}: choose one of "
            f"{', '.join(names)}."
        )


def load_task(source: str, task: str, cache: Path) -> TaskData:
    """Return the data of ``task`` as ``source`` reads it.

    Args:
        source: name of a module in this package.
        task: the task's name within its benchmark.
        cache: folder for what is worth keeping between runs.

    Raises:
        UserError: an unknown source or task, or data that cannot be read.
    """
    check_source(source)
    return cast(TaskData, importlib.import_module(f"{__name__}.{source}").load(task, cache))
