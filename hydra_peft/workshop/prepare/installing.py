"""Prepared archives, as the community offers them, put where tasks are looked for."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra_peft.data.list_files import LISTS, read_list
from hydra_peft.errors import UserError
from hydra_peft.plain_text import counted
from hydra_peft.workshop.prepare.archives import extract
from hydra_peft.workshop.prepare.spec import TaskSpec

#: the list of train800 and val200 together may be missing: it is those two
NEEDED = ("train800", "val200", "test")
#: folders around the tasks' folders in archives that are offered: vtab-1k, data/vtab-1k
_NESTED = 2


@dataclass(frozen=True)
class Outcome:
    """Outcome of installing a task.

    Attributes:
        status: ``installed``, ``there already``, ``refused`` or ``not in the archive``.
        remark: why it was refused; or a sentence that is good to know.
    """

    task: str
    status: str
    remark: str = ""


def install(
    archive: Path, out: Path, tasks: Sequence[TaskSpec], *, partial: bool = False
) -> list[Outcome]:
    """Unpack ``archive`` and move each complete task's folder to ``out``; say what became of each.

    A task whose folder exists in ``out`` is left as it is.

    Args:
        archive: tar or zip, with the tasks' folders at the top or one or two folders down.
        out: where tasks' folders lie; made if it does not exist.
        tasks: what to look for.
        partial: accept lists of other sizes.

    Raises:
        UserError: the archive cannot be unpacked safely, or holds no task.
        OSError: the disk is full or the folder not writable.
    """
    present = {task.name for task in tasks if _present(out, task)}
    if len(present) == len(tasks):
        return [Outcome(task.name, "there already") for task in tasks]
    unpacked = out / f".{archive.name}.unpacked-{os.getpid()}"
    shutil.rmtree(unpacked, ignore_errors=True)  # of a killed process that had the same number
    try:
        extract(archive, unpacked)
        folders = _task_folders(unpacked, tasks)
        if not any(folders.values()):
            names = ", ".join(task.folder for task in tasks[:3])
            raise UserError(
                f"{archive} holds no task: expected folders such as {names}, each with "
                f"{', '.join(LISTS[split] for split in NEEDED)}."
            )
        return [
            Outcome(task.name, "there already")
            if task.name in present
            else _install(task, folders[task.name], archive, unpacked, out, partial=partial)
            for task in tasks
        ]
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)


def _install(
    task: TaskSpec,
    folders: Sequence[Path],
    archive: Path,
    unpacked: Path,
    out: Path,
    *,
    partial: bool,
) -> Outcome:
    if not folders:
        return Outcome(task.name, "not in the archive")
    if len(folders) > 1:
        places = " and ".join(str(folder.relative_to(unpacked)) for folder in folders)
        return Outcome(task.name, "refused", f"it is in the archive as {places}: which one?")
    try:
        remark = _check(folders[0], task, partial=partial)
    except UserError as error:
        # Unpacked files are gone when this is read: speak of the archive.
        return Outcome(task.name, "refused", str(error).replace(str(unpacked), str(archive)))
    folders[0].rename(out / task.folder)
    return Outcome(task.name, "installed", remark)


def _present(out: Path, task: TaskSpec) -> bool:
    return any(os.path.lexists(out / name) for name in (task.folder, *task.aliases))


def _task_folders(root: Path, tasks: Sequence[TaskSpec]) -> dict[str, list[Path]]:
    """Return the folders of each task: those of its name that hold a list."""
    names = {name: task.name for task in tasks for name in (task.folder, *task.aliases)}
    found: dict[str, list[Path]] = {task.name: [] for task in tasks}
    level = [root]
    for _ in range(_NESTED + 1):
        level = sorted(path for folder in level for path in folder.iterdir() if path.is_dir())
        for path in level:
            if path.name in names and any((path / name).is_file() for name in LISTS.values()):
                found[names[path.name]].append(path)
    return found


def _check(folder: Path, task: TaskSpec, *, partial: bool) -> str:
    """Check lists and presence of images; return a remark.

    Raises:
        UserError: a list is missing, malformed or of another size, or an image is missing.
    """
    remarks = []
    for split, name in LISTS.items():
        file = folder / name
        if not file.is_file():
            if split in NEEDED:
                raise UserError(f"{file} is missing: get a complete archive.")
            continue
        listed = read_list(file, task.classes)
        if len(listed.paths) != task.sizes[split]:
            images = counted(len(listed.paths), "image")
            remark = f"{name} lists {images} instead of {task.sizes[split]:,}"
            if not partial:
                raise UserError(
                    f"{file}: {remark}; get a complete archive, or give partial=true to keep it."
                )
            remarks.append(remark)
        missing = [path for path in listed.paths if not (folder / path).is_file()]
        if missing:
            raise UserError(
                f"{file} lists {missing[0]}, which is not there"
                + (f", and {len(missing) - 1:,} more such" if len(missing) > 1 else "")
                + ": get a complete archive."
            )
    return "; ".join(remarks)
