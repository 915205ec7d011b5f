"""Own images, a folder for each class, in ``train``, ``val`` and ``test`` or to be split.

``<root>/<class>/<image>`` or ``<root>/<split>/<class>/<image>``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra_peft.data import own_data
from hydra_peft.data.class_folders import read_folder
from hydra_peft.data.promises import SeenLabels
from hydra_peft.data.sources._own_options import SplitOptions, absolute
from hydra_peft.data.sources._request import DataRequest

if TYPE_CHECKING:
    from hydra_peft.data.task_data import TaskData  # loads torch


@dataclass(frozen=True, kw_only=True)
class FolderOptions(SplitOptions):
    """Keys of ``dataset=folder``.

    Attributes:
        root: the folder; a leading ``~`` is written out.
    """

    root: str

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "root", absolute("dataset.root", self.root))


OPTIONS = FolderOptions


def describe(options: FolderOptions) -> dict[str, Any]:
    """Return what the folder decides of ``dataset``: name, classes, splits and sizes.

    Raises:
        UserError: see :func:`hydra_peft.data.class_folders.read_folder`.
    """
    root = Path(options.root)
    said = own_data.described(read_folder(root), options.split)
    return {**said, "name": own_data.plain_name(root.name), "root": options.root}


def labels_of(request: DataRequest) -> SeenLabels:
    """Return how many images of which classes each split has; none is read.

    Raises:
        UserError: see :func:`hydra_peft.data.class_folders.read_folder`.
    """
    return own_data.labels_of(read_folder(Path(request.options.root)), request)


def load(request: DataRequest) -> TaskData:
    """Return the splits that ``request`` asks for.

    Raises:
        UserError: see :func:`hydra_peft.data.own_data.load`.
    """
    return own_data.load(read_folder(Path(request.options.root)), request)
