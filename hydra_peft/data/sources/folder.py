"""Own images, a folder for each class, in ``train``, ``val`` and ``test`` or to be split.

``<root>/<class>/<image>`` or ``<root>/<split>/<class>/<image>``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra_peft.data import own_data
from hydra_peft.data.class_folders import read_folder
from hydra_peft.data.own_data import OwnData
from hydra_peft.data.sources._own_options import SplitOptions, absolute


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
    said = own_data.described(read(options), options.split)
    name = own_data.plain_name(Path(options.root).name)
    return {**said, "name": name, "root": options.root}


def read(options: FolderOptions) -> OwnData:
    """Return the images below the folder and their classes; none is opened."""
    return read_folder(Path(options.root))
