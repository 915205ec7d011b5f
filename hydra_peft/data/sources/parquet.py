"""Own images in parquet files: encoded images and labels in columns, a row for each image."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra_peft.data import own_data
from hydra_peft.data.file_walks import matching, walked
from hydra_peft.data.labelled_tables import read_tables
from hydra_peft.data.own_data import SPLIT_NAMES, OwnData, is_hidden
from hydra_peft.data.sources._own_options import absolute
from hydra_peft.data.sources._table_options import TableOptions
from hydra_peft.data.tables_package import loading, tables_package
from hydra_peft.errors import UserError

ENDING = ".parquet"
#: a shard as the hub names it: train-00000-of-00004.parquet, maybe with a hash before the ending
_SHARD = re.compile(r"(\w+)-\d{5}-of-\d{5}\b")


@dataclass(frozen=True, kw_only=True)
class ParquetOptions(TableOptions):
    """Keys of ``dataset=parquet``.

    Attributes:
        file: a file, a folder of files, or a pattern such as ``photos/*.parquet``; a leading ``~``
            is written out.
    """

    file: str

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "file", absolute("dataset.file", self.file))


OPTIONS = ParquetOptions


def describe(options: ParquetOptions) -> dict[str, Any]:
    """Return what the files decide of ``dataset``: name, classes, splits and sizes.

    Raises:
        UserError: see :func:`files_by_split`, :func:`hydra_peft.data.labelled_tables.read_tables`.
    """
    said = own_data.described(read(options), options.split)
    path = Path(options.file)
    name = path.name if path.is_dir() else path.stem if path.is_file() else path.parent.name
    return {**said, "name": own_data.plain_name(name), "file": options.file}


def is_data(options: ParquetOptions, path: Path) -> bool:  # noqa: ARG001 - of every source
    """Whether a file in the folder ``dataset.file`` is read: others may lie beside them."""
    return path.name.lower().endswith(ENDING)


def files_by_split(place: str) -> dict[str, list[str]]:
    """Return the parquet files at ``place`` by the split that their names say; ``train`` without.

    A split's name is that of a folder, of a shard (``train-00000-of-00004.parquet``), or a word of
    the file's name (``flowers_test.parquet``).

    Args:
        place: a file, a folder or a pattern.

    Raises:
        UserError: there are none, or some say their split and others do not.
    """
    base, files = _files(place)
    found: dict[str, list[str]] = {}
    for file in files:
        found.setdefault(_split_of(os.path.relpath(file, base)), []).append(file)
    if "" in found and len(found) > 1:
        known = ", ".join(name for name in found if name)
        raise UserError(
            f"{found[''][0]} does not say of which split it is, where other files are of {known}: "
            "put train, validation or test into its name, or keep it elsewhere."
        )
    return {name or "train": files for name, files in found.items()}


def _files(place: str) -> tuple[str, list[str]]:
    """Return what names of splits are looked for below, and the files, in order."""
    if os.path.isdir(place):
        inside = [(at, name) for at, names in walked(place, "dataset.file") for name in names]
        base = place
        found = [os.path.join(*file) for file in inside if file[1].lower().endswith(ENDING)]
    elif os.path.isfile(place):
        base, found = os.path.dirname(place), [place]
    else:
        base, found = matching(place, "dataset.file")
    files = sorted(
        file
        for file in found
        if os.path.isfile(file) and not any(map(is_hidden, Path(os.path.relpath(file, base)).parts))
    )
    if not files:
        raise UserError(
            f"dataset.file={place} has no parquet file: it must be a file, a folder of such files, "
            "or a pattern such as 'photos/*.parquet'."
        )
    return base, files


def _split_of(path: str) -> str:
    """Return the split that a path says, as it says it; empty where it says none."""
    *folders, name = Path(path).parts
    if shard := _SHARD.match(name):
        return shard[1]
    words = [*reversed(folders), *re.split(r"[^A-Za-z]+", Path(name).stem)]
    return next((word for word in words if word.lower() in SPLIT_NAMES), "")


def read(options: ParquetOptions) -> OwnData:
    """Return the images and classes of the files; none is decoded."""
    package = tables_package()
    files = files_by_split(options.file)
    advice = "write the files anew, or say which ones to read with dataset.file"
    with loading(options.file, advice):
        tables = package.load_dataset("parquet", data_files=files, keep_in_memory=False)
    return read_tables(
        tables,
        lineage="parquet",
        place=options.file,
        columns=options.columns,
        split_names=options.split_names,
    )
