"""A task on disk, in the layout of the community's VTAB-1k archives.

``<out>/<folder>/images/<split>/000000.<ending>`` and one list a split with lines
``images/test/000000.png 7``, as ZhangYuanhan-AI/NOAH's ``data/vtab-source`` writes them; but images
are kept as they are or stored as PNG, where NOAH encodes all of them as JPEG.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from PIL import Image
from tqdm import tqdm

from hydra_peft.data.decoding import in_threads
from hydra_peft.data.manifests import MANIFEST, SCHEMA
from hydra_peft.errors import UserError
from hydra_peft.files import atomic_write
from hydra_peft.workshop.prepare.originals import _manifest
from hydra_peft.workshop.prepare.originals._base import Piece, Pool
from hydra_peft.workshop.prepare.originals._order import LIMITS, select
from hydra_peft.workshop.prepare.originals._source import SourceFolder
from hydra_peft.workshop.prepare.originals._stored import NoImageError, stored
from hydra_peft.workshop.prepare.spec import TaskSpec

#: the two splits together, which most of the field trains on, and the parts it is a copy of
JOINED, PARTS = "train800val200", ("train800", "val200")
#: images of a split that a manifest names one by one; of more it could not be read again
MOST_NAMED = 150_000


@dataclass(frozen=True)
class Written:
    """Counts and hashes of written splits.

    Attributes:
        folder: the task's folder.
        counts: images by split.
        partial: whether a split has not its expected size.
        superseded: what the earlier folder was renamed to, if there was one.
    """

    folder: Path
    counts: dict[str, int]
    partial: bool
    superseded: Path | None


class _Chosen(NamedTuple):
    """The examples of a split: name of their pool, the pool, and positions in it."""

    name: str
    pool: Pool
    indices: Sequence[int]


@dataclass(frozen=True)
class _File:
    """A stored image: path below the task's folder, label as lists have it, hash of its content."""

    path: str
    label: str
    sha256: str


def write_task(
    out: Path,
    task: TaskSpec,
    *,
    pools: Mapping[str, Pool],
    slices: Mapping[str, Piece],
    source: SourceFolder,
    limits: Mapping[str, int | None] = LIMITS,
    partial: bool = False,
    overwrite: bool = False,
) -> Written:
    """Write a task as ``out/<its folder>``, all of it or nothing.

    Args:
        out: where tasks' folders lie; made if it does not exist.
        task: its name, folder, classes (labels must lie below it) and the expected number of images
            of each split.
        pools: examples of the original by pool; ``image`` is called from several threads.
        slices: which of them make which split.
        source: what the pools were read from, for the manifest.
        limits: most images of each split.
        partial: accept other sizes, with at least one image a split.
        overwrite: write even if the folder exists; it is renamed to ``<folder>.superseded-N``.

    Raises:
        UserError: the folder exists, a size is not the expected one, a label is out of range, or an
            image cannot be read; the message names the example.
        OSError: the disk is full or the folder not writable.
    """
    target = out / task.folder
    check_absent(target, overwrite=overwrite)
    chosen = {
        split: _Chosen(slices[split].pool, pools[slices[split].pool], indices)
        for split, indices in select(pools, slices, limits).items()
    }
    _check_disjoint(chosen)
    incomplete = _check_sizes(task, chosen, source, partial=partial)
    _check_labels(task, chosen)
    out.mkdir(parents=True, exist_ok=True)
    building = out / f".{task.folder}.partial-{os.getpid()}"
    shutil.rmtree(building, ignore_errors=True)  # of a killed process that had the same number
    try:
        files = _write_images(building, task.name, chosen)
        lists = _write_lists(building, files)
        _manifest.write_manifest(
            building / MANIFEST,
            {
                "schema": SCHEMA,
                "benchmark": task.benchmark,
                "task": task.name,
                "folder": task.folder,
                "lineage": "originals",
                **_manifest.describe_source(source),
                "partial": incomplete,
                **({"classes": list(task.classes_in_order)} if task.classes_in_order else {}),
                "slices": _manifest.describe_slices(slices, pools, limits),
                "versions": _manifest.versions(),
                "lists": lists,
                "splits": _describe_splits(files, chosen),
            },
        )
        if hasattr(os, "sync"):
            os.sync()  # once for all: one by one, 75,000 images take an hour on a slow disk
        superseded = _put(building, target, overwrite=overwrite)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    counts = {split: len(part.indices) for split, part in chosen.items()}
    return Written(target, counts, incomplete, superseded)


def check_absent(target: Path, *, overwrite: bool) -> None:
    """Check that a task's folder may be written.

    Raises:
        UserError: it exists, and ``overwrite`` is false.
    """
    if os.path.lexists(target) and not overwrite:
        raise UserError(
            f"{target} exists already: give overwrite=true to make it again (it is then kept as "
            f"{target.name}.superseded-1), or another out=."
        )


def _check_sizes(
    task: TaskSpec, chosen: Mapping[str, _Chosen], source: SourceFolder, *, partial: bool
) -> bool:
    """Check split sizes; return whether a split is not of its expected size, or the source not
    whole."""
    # With an example missing the splits may still be full, but not of the same examples.
    incomplete = bool(source.incomplete)
    if incomplete and not partial:
        raise UserError(
            f"{task.name}: {source.incomplete[0].rstrip('.')}; complete {source.folder}, or give "
            "partial=true to make a task that is marked as partial."
        )
    for split, part in chosen.items():
        count, expected = len(part.indices), task.sizes[split]
        if not count:
            raise UserError(
                f"{task.name}: split {split} would be empty: {source.folder} holds too few "
                f"examples of {source.name}, add the rest."
            )
        if count != expected:
            incomplete = True
            if not partial:
                raise UserError(
                    f"{task.name}: split {split} would have {count:,} images where it must have "
                    f"{expected:,}: {source.folder} does not hold exactly {source.name}; "
                    "complete it, or give partial=true to make a task that is marked as partial."
                )
    return incomplete


def _check_disjoint(chosen: Mapping[str, _Chosen]) -> None:
    examples = [(part.name, index) for part in chosen.values() for index in part.indices]
    assert len(set(examples)) == len(examples), "an example is in two splits"


def _check_labels(task: TaskSpec, chosen: Mapping[str, _Chosen]) -> None:
    for part in chosen.values():
        pool = part.pool
        if pool.labels.ndim > 1:
            assert pool.labels.shape[1] == task.classes, "a column for each class"
            continue
        for index in part.indices:
            if not 0 <= pool.labels[index] < task.classes:
                raise UserError(
                    f"{task.name}: example {pool.keys[index]!r} has label {pool.labels[index]}, "
                    f"not one of 0 to {task.classes - 1}: the original is damaged or another "
                    "version."
                )


def _write_images(
    building: Path, task: str, chosen: Mapping[str, _Chosen]
) -> dict[str, list[_File]]:
    """Write the images of all splits; return what was written, in order."""
    for split in (*chosen, *((JOINED,) if chosen.keys() >= set(PARTS) else ())):
        (building / "images" / split).mkdir(parents=True)
    places = [
        (part.name, index, split, number)
        for split, part in chosen.items()
        for number, index in enumerate(part.indices)
    ]

    def write(place: tuple[str, int, str, int]) -> _File:
        _, index, split, number = place
        pool = chosen[split].pool
        content, ending = _content(task, pool, index)
        path = f"images/{split}/{number:06d}.{ending}"
        _write(building / path, content)
        return _File(path, _label(pool, index), hashlib.sha256(content).hexdigest())

    written: dict[str, dict[int, _File]] = {split: {} for split in chosen}
    # Originals are read in their own order: some are packed in pieces of many images.
    work = in_threads(write, sorted(places))
    for place, file in tqdm(work, f"{task} images", len(places), leave=False, disable=None):
        _, _, split, number = place
        written[split][number] = file
    return {split: [files[n] for n in range(len(files))] for split, files in written.items()}


def _label(pool: Pool, index: int) -> str:
    """Return an example's label as lists have it: ``7``; of several ``3,7``, and ``-`` of none."""
    if pool.labels.ndim == 1:
        return str(int(pool.labels[index]))
    return ",".join(map(str, pool.labels[index].nonzero()[0].tolist())) or "-"


def _content(task: str, pool: Pool, index: int) -> tuple[bytes, str]:
    key = pool.keys[index]
    try:
        image: Image.Image | bytes = pool.image(index)
        return stored(image)
    except NoImageError as error:
        raise UserError(f"{task}: example {key!r} {error}: fetch the original again.") from None
    except UserError as error:
        raise UserError(f"{task}: example {key!r}: {error}") from None
    except OSError as error:
        reason = error.strerror or " ".join(str(error).split())
        raise UserError(f"{task}: example {key!r} cannot be read: {reason}.") from None


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        # "No space left" comes without a name; the message to the user needs one.
        error.filename = error.filename or str(path)
        raise


def _write_lists(building: Path, files: dict[str, list[_File]]) -> dict[str, str]:
    """Write a list for each split, and for VTAB's two parts together; return their hashes."""
    lists = dict(files)
    if files.keys() >= set(PARTS):
        lists[JOINED] = []
        for number, file in enumerate(file for part in PARTS for file in files[part]):
            path = f"images/{JOINED}/{number:06d}{Path(file.path).suffix}"
            _copy(building / file.path, building / path)
            lists[JOINED].append(_File(path, file.label, file.sha256))
    hashes = {}
    for split, members in lists.items():
        text = "".join(f"{file.path} {file.label}\n" for file in members).encode()
        atomic_write(building / f"{split}.txt", text)
        hashes[f"{split}.txt"] = hashlib.sha256(text).hexdigest()
    return hashes


def _copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        # Not every disk can hold one file under two names.
        shutil.copyfile(source, target)


def _describe_splits(
    files: Mapping[str, list[_File]], chosen: Mapping[str, _Chosen]
) -> dict[str, dict[str, list[int | str] | list[str]]]:
    return {
        split: {
            "ids": _manifest.readable([part.pool.keys[i] for i in part.indices]),
            "sha256": [file.sha256 for file in files[split]],
        }
        for split, part in chosen.items()
        if len(part.indices) <= MOST_NAMED
    }


def _put(building: Path, target: Path, *, overwrite: bool) -> Path | None:
    """Rename ``building`` to ``target``; return what an earlier folder was renamed to."""
    superseded = None
    if overwrite and os.path.lexists(target):
        number = 1
        while os.path.lexists(target.with_name(f"{target.name}.superseded-{number}")):
            number += 1
        superseded = target.rename(target.with_name(f"{target.name}.superseded-{number}"))
    try:
        building.rename(target)
    except OSError as error:
        if superseded is not None:
            superseded.rename(target)
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise UserError(f"{target} has appeared meanwhile: is another process at it?") from None
        raise
    return superseded
