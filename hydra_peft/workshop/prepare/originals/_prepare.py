"""From a folder of original files to a task on disk."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from hydra_peft.errors import UserError
from hydra_peft.workshop.prepare.download import download
from hydra_peft.workshop.prepare.originals._base import OfEachClass, Original, Pool
from hydra_peft.workshop.prepare.originals._source import SourceFolder
from hydra_peft.workshop.prepare.originals._writer import Written, check_absent, write_task
from hydra_peft.workshop.prepare.spec import TaskSpec


def source_folder(source: Path, original: Original, names: Iterable[str]) -> Path:
    """Return the folder of the files of ``original``: a sub-folder of ``source``, or ``source``
    itself.

    Args:
        source: as the user gave it.
        original: its own name, such as ``cifar_100``, may be that of the sub-folder.
        names: further names that a sub-folder may have, such as the task's; they come first.
    """
    for name in (*names, own_name(original)):
        if (source / name).is_dir():
            return source / name
    return source


def own_name(original: Original) -> str:
    """Return the original's name as that of a folder, such as ``cifar_100``."""
    return re.sub(r"[^a-z0-9]+", "_", original.name.lower()).strip("_")


def fetch(original: Original, task: str, folder: Path, get: Callable[..., Path] = download) -> None:
    """Fetch what ``folder`` lacks of ``original``, if anyone can fetch it; check what is there.

    Nothing is fetched where what is there already is enough, such as unpacked files.

    Args:
        get: takes a file and a folder, as
            :func:`hydra_peft.workshop.prepare.download.download` does.

    Raises:
        UserError: a file cannot be fetched, or is another one than was published.
        OSError: the disk is full or the folder not writable.
    """
    if not original.files:
        return
    folder.mkdir(parents=True, exist_ok=True)
    source = open_source(original, folder)
    missing = []
    for remote in original.files:
        place = source.find(remote.name)
        if place is None:
            missing.append(remote)
        else:
            get(remote, place.parent)
    if missing and not _readable(original, task, folder):
        for remote in missing:
            get(remote, folder)


def prepare(
    original: Original,
    folder: Path,
    out: Path,
    task: TaskSpec,
    *,
    partial: bool = False,
    overwrite: bool = False,
    say: Callable[[str], object] = print,
) -> Written:
    """Make ``task`` of the files of ``original`` in ``folder``; see :func:`write_task`.

    Args:
        say: takes each sentence that a reader of the results should know.

    Raises:
        UserError: a file is missing or malformed, or see :func:`write_task`.
        OSError: the disk is full or the folder not writable.
    """
    check_absent(out / task.folder, overwrite=overwrite)
    source = open_source(original, folder)
    if task.benchmark == "elevater":
        _note_what_differs(original, source, task.name)
    try:
        pools = original.pools(source, task.name)
        return write_task(
            out,
            task,
            pools={name: in_order(pool, task, source) for name, pool in pools.items()},
            slices=original.made(task.benchmark)[task.name],
            source=source,
            partial=partial,
            overwrite=overwrite,
        )
    finally:
        # Also where it failed: a note may say why.
        for note in source.notes:
            say(f"note: {note}")


def _note_what_differs(original: Original, source: SourceFolder, task: str) -> None:
    """Note why few-shot samples of a task are not those of ELEVATER's own toolkit."""
    source.note(
        "ELEVATER's hub lists images in an order of its own: samples of one seed are drawn by its "
        "rule, and are of other images."
    )
    if any(isinstance(piece, OfEachClass) for piece in original.elevater[task].values()):
        source.note(
            f"{source.name}: the split was drawn by CLIP's authors and is not published; here it "
            "is drawn, of each class alike, by the hash of the images' names."
        )


def in_order(pool: Pool, task: TaskSpec, source: SourceFolder) -> Pool:
    """Return ``pool`` with labels in the order in which the benchmark counts classes, by name.

    Raises:
        UserError: the original lacks a class, or has one that the benchmark has not.
    """
    wanted = list(task.classes_in_order)
    if not wanted or not pool.classes or list(pool.classes) == wanted:
        return pool
    if odd := sorted({*wanted} ^ {*pool.classes}):
        lacks = "lacks" if odd[0] in wanted else "has another class,"
        raise UserError(
            f"{task.name}: of the {len(wanted)} classes of {source.name} {source.folder} {lacks} "
            f"'{odd[0]}': complete it, or take another copy."
        )
    places = np.array([wanted.index(name) for name in pool.classes], dtype=np.int64)
    return dataclasses.replace(pool, labels=places[pool.labels], classes=wanted)


def open_source(original: Original, folder: Path) -> SourceFolder:
    """Return ``folder`` as the source of ``original``.

    Raises:
        UserError: it does not exist.
    """
    return SourceFolder(folder, name=original.name, needs=original.needs, page=original.page)


def _readable(original: Original, task: str, folder: Path) -> bool:
    try:
        original.pools(open_source(original, folder), task)
    except UserError:
        return False
    return True
