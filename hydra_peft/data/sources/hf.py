"""Images of the Hugging Face hub, or of a local folder that the package ``datasets`` can load.

A folder is one that ``save_to_disk`` wrote, or laid out like a repository of the hub: parquet or
Arrow files, or images in a folder for each class. No code of a data set's is ever run.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from hydra_peft.data import own_data
from hydra_peft.data.file_walks import walked
from hydra_peft.data.labelled_tables import read_tables
from hydra_peft.data.own_data import OwnData
from hydra_peft.data.sources._own_options import absolute
from hydra_peft.data.sources._table_options import TableOptions
from hydra_peft.data.tables_package import kept_below, loading, tables_package
from hydra_peft.errors import UserError

#: kinds of files with images and labels in columns; "cache" is what was loaded before
BUILDERS = ("parquet", "arrow", "imagefolder", "webdataset", "cache")
_COMMIT = re.compile(r"[0-9a-f]{40}")
#: name of a repository: of an account and its own, or its own alone
_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")


@dataclass(frozen=True, kw_only=True)
class HfOptions(TableOptions):
    """Keys of ``dataset=hf``.

    Attributes:
        name: what the task is called; where ``path`` is None, what to load.
        path: a repository on the hub, or a folder.
        revision: branch, tag or commit on the hub; None for the newest.
        subset: which configuration of a repository that has several.
    """

    name: str
    path: str | None = None
    revision: str | None = None
    subset: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        path = self.name if self.path is None else self.path
        if os.path.isdir(os.path.expanduser(path)) or path.startswith(("/", "~", ".")):
            path = absolute("dataset.name", path)
        elif not _NAME.fullmatch(path):
            raise UserError(
                f"dataset.name={path} is not allowed: it must be the name of a data set on the "
                "hub, such as user/flowers, or a folder."
            )
        object.__setattr__(self, "path", path)

    def identity(self) -> dict[str, Any]:
        """Return what of it decides results; of a revision its content does."""
        return {**super().identity(), **({"subset": self.subset} if self.subset else {})}


OPTIONS = HfOptions


def describe(options: HfOptions) -> dict[str, Any]:
    """Return what the data decides of ``dataset``: name, revision, classes, splits and sizes.

    Raises:
        UserError: it cannot be loaded, or see :func:`hydra_peft.data.labelled_tables.read_tables`.
    """
    tables, commit = _load(options)
    said = own_data.described(_labelled(tables, options), options.split)
    name = own_data.plain_name(Path(str(options.path)).name)
    if options.name != options.path and not _leads_to(options.name, options.path):
        name = options.name
    return {**said, "name": name, "path": options.path, "revision": commit or options.revision}


def is_data(options: HfOptions, path: Path) -> bool:  # noqa: ARG001 - of every source
    """Whether a file in the folder is read, as its name tells: results may lie beside it."""
    return path.name.startswith("metadata.") or own_data.is_image(path.name)


def read(options: HfOptions) -> OwnData:
    """Return the images and classes of the tables; none is decoded."""
    return _labelled(_load(options)[0], options)


def _leads_to(name: str, path: str | None) -> bool:
    return os.path.abspath(os.path.expanduser(name)) == path


def _labelled(tables: Mapping[str, Any], options: HfOptions) -> OwnData:
    own = [str(options.path)] if os.path.isabs(str(options.path)) else []
    return read_tables(
        tables,
        lineage="hf",
        place=str(options.path),
        columns=options.columns,
        split_names=options.split_names,
        roots=tuple(Path(one) for one in (*own, *kept_below())),
    )


def _load(options: HfOptions) -> tuple[Mapping[str, Any], str | None]:
    """Return the tables by split, and the commit that they are of on the hub."""
    package = tables_package()
    path = str(options.path)
    if os.path.isabs(path):
        return _from_folder(package, path, options), None
    with loading(f"{path} from the Hugging Face hub", _hub_advice(package)):
        builder = package.load_dataset_builder(path, options.subset, revision=options.revision)
        commit = str(builder.hash)
        _check_commit(builder, options.revision, path)
        tables = _built(builder, path)
    return tables, commit if _COMMIT.fullmatch(commit) else None


def _from_folder(package: ModuleType, path: str, options: HfOptions) -> Mapping[str, Any]:
    if options.revision is not None:
        raise UserError(
            f"dataset.revision={options.revision} is of a data set on the hub, and {path} is a "
            "folder: leave it out."
        )
    if not os.path.isdir(path):
        raise UserError(f"dataset.name={path} is no folder, and no name of a data set on the hub.")
    advice = "save_to_disk of datasets writes such a folder, a repository on the hub is one"
    with loading(path, advice):
        if any(os.path.isfile(os.path.join(path, n)) for n in ("dataset_dict.json", "state.json")):
            loaded = package.load_from_disk(path, keep_in_memory=False)
            is_one = isinstance(loaded, package.Dataset)
            return {"train": loaded} if is_one else dict(loaded)
        for _ in walked(path, "dataset.name", links=True):  # as the package does, without a bound
            pass
        return _built(package.load_dataset_builder(path, options.subset), path)


def _built(builder: Any, path: str) -> Mapping[str, Any]:
    """Return the tables of ``builder``, made once and kept by the package.

    Raises:
        UserError: its files are of a kind that has no images, or are downloaded and run.
    """
    if builder.name not in BUILDERS:
        raise UserError(
            f"{path} has files of the kind {builder.name}: images and labels are read from "
            f"{', '.join(BUILDERS[:-1])}."
        )
    builder.download_and_prepare()
    return dict(builder.as_dataset(in_memory=False))


def _check_commit(builder: Any, revision: str | None, path: str) -> None:
    """Check that what was kept of a data set, where the hub is out of reach, is what is wanted."""
    if builder.name == "cache" and revision is not None and builder.hash != revision:
        raise UserError(
            f"the Hugging Face hub is out of reach, and what is kept of {path} is of commit "
            f"{builder.hash}, not known to be revision {revision}: connect to the network, or set "
            "dataset.revision to that commit or to null"
        )


def _hub_advice(package: ModuleType) -> str:
    if package.config.HF_HUB_OFFLINE:
        return (
            "HF_HUB_OFFLINE is set, so only what was loaded before can be used: unset it, or give "
            "a folder as dataset.name"
        )
    return (
        "check the name, dataset.revision, dataset.subset and the network (a private or gated one "
        "needs `hf auth login`), or give a folder as dataset.name"
    )
