"""Data sources, one module for each way of reading a benchmark.

A dataset yaml names a module as ``source``. The module offers two functions:

``load(request) -> TaskData`` returns the splits: :class:`~hydra_peft.data.split.Split` with any
named inputs (``image``: :class:`~hydra_peft.data.split.Images`, ``tokens``:
:class:`~hydra_peft.data.split.Ragged`) and with targets of int64, float32 or bool.

``labels_of(request) -> SeenLabels`` returns cheaply, without torch, how many targets each split has
and, where they are classes, the least and the greatest label.

It may have keys of ``dataset`` of its own: a frozen dataclass ``OPTIONS`` with ``identity()``, what
of them counts in a run's identity. Then ``describe(options)`` returns values of ``dataset`` that it
finds out (``name``, ``classes``, ``splits``, ``sizes``) for where the config has null, and of its
own keys the values that hold. A sweep asks once. One that reads one's own images with their classes
has ``read(options) -> OwnData`` in the place of ``load`` and ``labels_of``; where its folder may
hold other things too, ``is_data(options, path)`` says whether it reads a file there. One of texts
has ``text_columns(name)``: what the texts of the task ``name`` are called in tables.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from hydra_peft.data import own_data
from hydra_peft.data.sources._request import DataRequest
from hydra_peft.files import real_path
from hydra_peft.registry import find_module, is_known, module_names, own_names

if TYPE_CHECKING:
    from hydra_peft.data.promises import SeenLabels
    from hydra_peft.data.task_data import TaskData  # loads torch

__all__ = [
    "DataRequest",
    "describe",
    "is_data",
    "is_of_images",
    "labels_of",
    "load_task",
    "options_class",
    "own_places",
    "sources_with",
    "text_columns",
]


def options_class(source: object) -> type[Any] | None:
    """Return the dataclass of the keys that ``source`` has of its own; None where it has none.

    Raises:
        UserError: it is unknown.
    """
    if not isinstance(source, str | int):  # as yaml has it: a text may look like a number
        return None
    return cast("type[Any] | None", getattr(_module(str(source)), "OPTIONS", None))


def sources_with(option: str) -> list[str]:
    """Return the sources of one's own data that have the key ``dataset.<option>``, ``folder``
    first."""
    names = sorted(module_names(sys.modules[__name__]), key=lambda name: name != "folder")
    classes = {name: options_class(name) for name in names}
    return [n for n, cls in classes.items() if cls and option in cls.__dataclass_fields__]


def describe(source: str, options: Any) -> dict[str, Any]:
    """Return what ``source`` finds out of a data set, by key of ``dataset``.

    Raises:
        UserError: data that is missing, or not as it should be.
    """
    return cast("dict[str, Any]", _module(source).describe(options))


def labels_of(source: str, request: DataRequest) -> SeenLabels:
    """Return the label ranges of a task as ``source`` knows them, without torch or images.

    Raises:
        UserError: an unknown source or task, or data that is missing.
    """
    module = _module(source)
    if hasattr(module, "read"):
        return own_data.labels_of(module.read(request.options), request)
    return cast("SeenLabels", module.labels_of(request))


def load_task(source: str, request: DataRequest) -> TaskData:
    """Return the data of a task as ``source`` reads it.

    Raises:
        UserError: an unknown source or task, or data that cannot be read.
    """
    module = _module(source)
    if hasattr(module, "read"):
        return own_data.load(module.read(request.options), request)
    return cast("TaskData", module.load(request))


def own_places(options: object) -> list[Path]:
    """Return the files and folders that the keys of a source with ``options`` name."""
    named = (getattr(options, key, None) for key in ("file", "path", "root"))
    return [Path(place) for place in named if place]


def is_data(source: str, request: DataRequest, path: Path) -> bool:
    """Whether the file ``path`` is among what a task's data is read from.

    Raises:
        UserError: an unknown source.
    """
    module, options = _module(source), request.options
    places = [place for place in own_places(options) if place.is_absolute() and place.exists()]
    if path.exists() and any(place.samefile(path) for place in places):
        return True
    if request.folder is not None:
        names = (request.folder, *request.aliases)
        places += [request.root / request.benchmark, *(request.root / name for name in names)]
    above = (real_path(path.parent) / path.name).parents
    if not any(real_path(place) in above for place in places):
        return False
    return not hasattr(module, "is_data") or bool(module.is_data(options, path))


def text_columns(source: str, name: str) -> tuple[str, ...]:
    """Return the names of the columns that have the texts of the task ``name`` in tables.

    Empty where ``source`` does not say: of images, or of texts that are in no table.
    """
    if not is_known(sys.modules[__name__], source):
        return ()
    asked = getattr(_module(source), "text_columns", None)
    return () if asked is None else tuple(asked(name))


def is_of_images(source: str) -> bool:
    """Whether every task of ``source`` has images; of plugins nobody knows."""
    own = source in own_names(sys.modules[__name__])
    return own and not hasattr(_module(source), "text_columns")


def _module(source: str) -> ModuleType:
    return find_module(sys.modules[__name__], source, "dataset.source")
