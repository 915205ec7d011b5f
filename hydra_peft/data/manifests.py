"""Reading the manifest that ``scripts/prepare_data.py`` leaves beside a task."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra_peft.data.list_files import MAX_BYTES
from hydra_peft.data.prompts import find_prompts
from hydra_peft.data.sources._request import DataRequest
from hydra_peft.data.task_files import TaskFiles
from hydra_peft.errors import UserError
from hydra_peft.files import read_json
from hydra_peft.quoting import of_file

SCHEMA = 1
MANIFEST = "manifest.json"
#: one has a few
MAX_NOTES = 1000


@dataclass(frozen=True)
class Manifest:
    """Fields of a manifest that checks need.

    Attributes:
        partial: whether the task was prepared with other sizes than it should have.
        notes: sentences on how the task differs from the community's.
        lists: sha256 of each list file.
        files: sha256 of each image of a split, in order; of the largest splits none.
        classes: their names in the original, by label; empty where the manifest does not say.
    """

    partial: bool
    notes: list[str]
    lists: dict[str, str]
    files: dict[str, list[str]]
    classes: list[str] = field(default_factory=list)

    def changed_lists(self, folder: Path) -> list[str]:
        """Return the names of list files in ``folder`` that are not as they were written."""
        return [
            name
            for name, expected in self.lists.items()
            if not _is_list(folder / name)
            or hashlib.sha256((folder / name).read_bytes()).hexdigest() != expected
        ]


@dataclass(frozen=True)
class Prepared:
    """Origin of a prepared task: lineage, completeness, notes, names of classes.

    Attributes:
        lineage: ``originals``, or ``archive`` where there is no manifest.
        partial: whether it was prepared from an incomplete original.
        notes: see :class:`Manifest`.
        classes: what the classes are called, by label; empty where nobody says.
    """

    lineage: str
    partial: bool
    notes: tuple[str, ...]
    classes: tuple[str, ...]


def prepared_by(folder: Path, request: DataRequest) -> Prepared:
    """Return what is known of the task in ``folder``.

    Raises:
        UserError: the manifest is malformed, or its labels are in another order than the
            benchmark's.
    """
    manifest = manifest_of(folder)
    prompts = find_prompts(request.benchmark, request.name)
    if manifest is not None and manifest.classes and prompts is not None:
        for label, (found, expected) in enumerate(
            zip(manifest.classes, prompts.keys, strict=False)
        ):
            if found != expected:
                raise UserError(
                    f"dataset {request.name}: label {label} is '{of_file(found)}' in {folder}, "
                    f"where the benchmark has '{expected}' ({_order(manifest.classes)}): prepare "
                    "it again."
                )
    classes = prompts.names if prompts is not None else ()
    if manifest is None:
        return Prepared("archive", False, (), classes)
    return Prepared("originals", manifest.partial, tuple(manifest.notes), classes)


def _order(classes: list[str]) -> str:
    return "its labels are sorted by name" if classes == sorted(classes) else "another order"


def manifest_of(folder: Path) -> Manifest | None:
    """Return the manifest in a task's folder, None where the task has none.

    Raises:
        UserError: it is malformed, no ordinary file, or a link out of the folder.
    """
    path = folder / MANIFEST
    if not os.path.lexists(path):
        return None
    TaskFiles(folder).status(path)
    return read_manifest(path)


def read_manifest(path: Path) -> Manifest:
    """Return the manifest in ``path``.

    Raises:
        UserError: it cannot be read or is not of this schema.
    """
    values = read_json(path, links=True)
    lists, splits = values.get("lists"), values.get("splits")
    right = (
        values.get("schema") == SCHEMA
        and isinstance(values.get("partial"), bool)
        and _are_texts(values.get("notes"))
        and len(values["notes"]) <= MAX_NOTES  # a run's record has them
        and isinstance(lists, Mapping)
        # What is looked up must lie in the task's folder.
        and all("/" not in name and isinstance(found, str) for name, found in lists.items())
        and isinstance(splits, Mapping)
        and all(isinstance(s, Mapping) and _are_texts(s.get("sha256")) for s in splits.values())
        and _are_texts(values.get("classes", []))
    )
    if not right:
        raise UserError(f"{path} is not a manifest of schema {SCHEMA}: edited, or of another tool?")
    assert isinstance(lists, Mapping)
    assert isinstance(splits, Mapping)
    files = {name: list(split["sha256"]) for name, split in splits.items()}
    classes = list(values.get("classes", []))
    return Manifest(values["partial"], list(values["notes"]), dict(lists), files, classes)


def _is_list(path: Path) -> bool:
    return os.path.isfile(path) and path.stat().st_size <= MAX_BYTES


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)
