"""Find the folder of a prepared task and its list files; no torch, no image is read."""

from __future__ import annotations

from pathlib import Path

from hydra_peft.data.image_lists import LISTS, MAX_BYTES, ImageList, read_list
from hydra_peft.data.sources._task import Task
from hydra_peft.data.task_files import TaskFiles
from hydra_peft.errors import UserError


def task_folder(task: Task) -> Path:
    """Return the folder of ``task`` below the data root.

    Looked for, under its own name and its aliases: below ``<root>/<benchmark>``, below the
    benchmark's name with a dash before its last part (``vtab-1k``), and in the root itself.

    Raises:
        UserError: none of them exists; the message says how to come by the data.
    """
    names = [name for name in (task.folder, *task.aliases) if name]
    roots = [task.root / task.benchmark, task.root / task.benchmark.replace("1k", "-1k"), task.root]
    for root in roots:
        for name in names:
            if (root / name).is_dir():
                return root / name
    if _is_prepared(task.root):
        raise UserError(
            f"dataset {task.name}: {task.root} is the folder of a task itself: set paths.data to "
            "the folder above it, in which the task's folder has the task's name."
        )
    raise UserError(
        f"dataset {task.name}: there is no folder '{names[0]}' below {roots[0]} or {task.root}; "
        f"unpack a prepared {task.benchmark} archive there or set paths.data=<its folder>, or make "
        f"it with python scripts/prepare_data.py {task.benchmark} task={task.name} "
        "source=<original files> (docs/data.md)."
    )


def list_files(folder: Path, split: str) -> list[Path]:
    """Return the list file of ``split``; without its own, train is train800 and val200.

    Raises:
        UserError: it is missing; of a folder with none at all, that it is no prepared task.
    """
    own = folder / LISTS[split]
    if own.is_file():
        return [own]
    parts = [folder / LISTS[part] for part in ("train800", "val200")]
    if split == "train" and all(part.is_file() for part in parts):
        return parts
    if not _is_prepared(folder):
        raise UserError(
            f"{folder} is no prepared task: it has none of the list files "
            f"{', '.join(LISTS.values())}; if these are the original files, prepare them with "
            "python scripts/prepare_data.py <benchmark> task=<name> source=<folder> (docs/data.md)."
        )
    raise UserError(
        f"{own} is missing: this prepared task lacks its split '{split}'; get a complete archive "
        "or prepare it again (scripts/check_data.py lists what each task lacks)."
    )


def read_split(folder: Path, split: str, classes: int) -> ImageList:
    """Return images and labels that the lists of ``split`` name, those of its parts joined.

    Raises:
        UserError: a list is missing or malformed, or a link out of the folder.
    """
    files = list_files(folder, split)
    for file in files:
        TaskFiles(folder).status(file, MAX_BYTES)
    lists = [read_list(file, classes) for file in files]
    return ImageList([p for one in lists for p in one.paths], [x for y in lists for x in y.labels])


def _is_prepared(folder: Path) -> bool:
    return any((folder / name).is_file() for name in LISTS.values())
