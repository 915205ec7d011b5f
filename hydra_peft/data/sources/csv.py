"""Own images that a file lists with their labels, and maybe with their splits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra_peft.data import own_data
from hydra_peft.data.label_files import Columns, read_label_file
from hydra_peft.data.own_data import OwnData
from hydra_peft.data.promises import SeenLabels
from hydra_peft.data.sources._own_options import SplitOptions, absolute
from hydra_peft.data.sources._request import DataRequest

if TYPE_CHECKING:
    from hydra_peft.data.task_data import TaskData  # loads torch


@dataclass(frozen=True, kw_only=True)
class CsvOptions(SplitOptions):
    """Keys of ``dataset=csv``.

    Attributes:
        file: the file; a leading ``~`` is written out.
        root: what the images' paths start from; None for the file's folder.
        image_column: the column of paths; None finds it by its values.
        label_column: the column of labels; None takes the one besides.
        split_column: the column of splits; None where there is none.
    """

    file: str
    root: str | None = None
    image_column: str | None = None
    label_column: str | None = None
    split_column: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "file", absolute("dataset.file", self.file))
        root = str(Path(self.file).parent) if self.root is None else self.root
        object.__setattr__(self, "root", absolute("dataset.root", root))

    def identity(self) -> dict[str, Any]:
        """Return what of it decides results: which labels are learnt, too."""
        label = {} if self.label_column is None else {"label_column": self.label_column}
        return {**super().identity(), **label}


OPTIONS = CsvOptions


def describe(options: CsvOptions) -> dict[str, Any]:
    """Return what the file decides of ``dataset``: name, classes, splits and sizes.

    Raises:
        UserError: see :func:`hydra_peft.data.label_files.read_label_file`.
    """
    said = own_data.described(_read(options), options.split)
    name = own_data.plain_name(Path(options.file).stem)
    return {**said, "name": name, "file": options.file, "root": options.root}


def labels_of(request: DataRequest) -> SeenLabels:
    """Return how many images of which classes each split has; none is read.

    Raises:
        UserError: see :func:`hydra_peft.data.label_files.read_label_file`.
    """
    return own_data.labels_of(_read(request.options), request)


def load(request: DataRequest) -> TaskData:
    """Return the splits that ``request`` asks for.

    Raises:
        UserError: see :func:`hydra_peft.data.own_data.load`.
    """
    return own_data.load(_read(request.options), request)


def _read(options: CsvOptions) -> OwnData:
    columns = Columns(options.image_column, options.label_column, options.split_column)
    return read_label_file(Path(options.file), Path(options.root or "."), columns)
