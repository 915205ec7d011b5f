"""Own images that a file lists with their labels, and maybe with their splits."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra_peft.data import own_data
from hydra_peft.data.label_files import Columns, read_label_file
from hydra_peft.data.own_data import OwnData
from hydra_peft.data.sources._own_options import SplitOptions, absolute
from hydra_peft.files import real_path


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
    said = own_data.described(read(options), options.split)
    name = own_data.plain_name(Path(options.file).stem)
    return {**said, "name": name, "file": options.file, "root": options.root}


def is_data(options: CsvOptions, path: Path) -> bool:
    """Whether the file has the name of ``path`` in it: results may lie beside the images."""
    place = real_path(path.parent) / path.name
    name = os.path.relpath(place, real_path(Path(options.root or ".")))
    try:
        return os.fsencode(name) in Path(options.file).read_bytes()
    except OSError:
        return own_data.is_image(name)


def read(options: CsvOptions) -> OwnData:
    """Return the images and classes that the file names; none is opened."""
    columns = Columns(options.image_column, options.label_column, options.split_column)
    return read_label_file(Path(options.file), Path(options.root or "."), columns)
