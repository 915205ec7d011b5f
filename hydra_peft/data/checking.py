"""Check of prepared data: folders, lists, labels and images, before anyone trains."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from hydra_peft.data.decodable import remember
from hydra_peft.data.decoding import in_threads, read_image
from hydra_peft.data.images import (
    FileImages,
    files_of,
    labelled_files,
    labels_of,
    load_label_split,
    load_split,
)
from hydra_peft.data.list_files import task_folder
from hydra_peft.data.manifests import MANIFEST, manifest_of, prepared_by
from hydra_peft.data.overlap import overlaps, relabelled, rows, with_two_labels
from hydra_peft.data.sources._request import DataRequest
from hydra_peft.data.split import Split
from hydra_peft.data.split_roles import SplitRoles
from hydra_peft.data.task_data import TaskData
from hydra_peft.data.task_files import TaskFiles
from hydra_peft.errors import UserError
from hydra_peft.plain_text import counted


@dataclass
class SplitReport:
    """Findings about one split of a prepared task.

    Attributes:
        count: images listed.
        expected: images that the task's yaml promises.
        labels: images by label.
        unreadable: one sentence for each image that cannot be read.
        duplicates: images whose content the split has more than once, beyond the first.
    """

    count: int
    expected: int
    labels: dict[int, int] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)
    duplicates: int = 0


@dataclass
class TaskReport:
    """Findings about one prepared task.

    Attributes:
        task: its name.
        folder: where it is; None where it is missing.
        lineage: ``originals``, ``archive``, or None where it is missing.
        splits: by name, those whose lists could be read.
        overlap: training images whose content the test set has too.
        problems: sentences; data with one is not to be trained on.
        notes: sentences on what is worth knowing and no fault.
        sha256: of the content of all splits; None where it could not be computed.
    """

    task: str
    folder: str | None = None
    lineage: str | None = None
    splits: dict[str, SplitReport] = field(default_factory=dict)
    overlap: int | None = None
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    sha256: str | None = None

    @property
    def status(self) -> str:
        """``ok``, ``missing`` or ``wrong``."""
        if self.folder is None:
            return "missing"
        return "wrong" if self.problems else "ok"


def check_prepared(
    request: DataRequest,
    sizes: Mapping[str, int],
    roles: SplitRoles,
    *,
    decode: bool,
    allow_partial: bool = False,
    several: bool = False,
) -> TaskReport:
    """Check the prepared data of a task: counts, labels, hashes, images, overlaps.

    Args:
        request: the task; of its splits, those it names are checked.
        sizes: number of images that each split should have.
        roles: which split plays which role.
        decode: whether to decode every image, which takes most of the time.
        allow_partial: whether other sizes, and a manifest that says that the original was
            incomplete, are a note and no problem.
        several: whether an image may have any number of labels.
    """
    report = TaskReport(request.name)
    try:
        folder = task_folder(request)
    except UserError as error:
        report.problems.append(str(error))
        return report
    report.folder = str(folder)
    report.lineage = "originals" if os.path.lexists(folder / MANIFEST) else "archive"
    splits: dict[str, Split] = {}
    for name in request.splits:
        try:
            splits[name] = (load_label_split if several else load_split)(folder, name, request)
        except UserError as error:
            report.problems.append(str(error))
            continue
        report.splits[name] = _count(splits[name], sizes[name])
        if name in (roles.train, roles.test):  # 200 images cannot hold 397 classes
            absent = request.classes - len(report.splits[name].labels)
            if absent:
                have = "has" if absent == 1 else "have"
                sentence = f"{absent} of {request.classes} classes {have} no image in {name}."
                report.notes.append(sentence)
        if len(splits[name]) != sizes[name]:
            sentence = (
                f"{name} lists {counted(len(splits[name]), 'image')}, expected {sizes[name]}."
            )
            (report.notes if allow_partial else report.problems).append(sentence)
    hashes = _hashes(splits, report)
    _compare_splits(hashes, roles, report)
    _compare_labels(splits, hashes, roles, report)
    if len(hashes) == len(request.splits):
        report.sha256 = str(TaskData(splits, report.lineage).describe()["sha256"])
    if report.lineage == "originals":
        _compare_with_manifest(folder, hashes, report, request, allow_partial=allow_partial)
    if decode:
        for name, split in splits.items():
            _decode(name, split, hashes.get(name), report)
    return report


def _count(split: Split, expected: int) -> SplitReport:
    labels = split.targets
    every = labels.nonzero()[:, 1] if labels.dim() > 1 else labels  # each label that an image has
    return SplitReport(len(split), expected, dict(sorted(Counter(every.tolist()).items())))


def _hashes(splits: Mapping[str, Split], report: TaskReport) -> dict[str, list[bytes]]:
    """Return each image's content hash; a split with a missing file is reported and left out."""
    hashes: dict[str, list[bytes]] = {}
    for name, split in splits.items():
        images = files_of(split)
        found = _unusable(images)
        if found:
            first = next(iter(found.values()))
            images_of = counted(len(found), "image")
            report.problems.append(f"{images_of} of {name} cannot be used: {first}")
            report.splits[name].unreadable += found.values()
            continue
        hashes[name] = rows(images.hashes)
        report.splits[name].duplicates = len(hashes[name]) - len(set(hashes[name]))
    return hashes


def _unusable(images: FileImages) -> dict[int, str]:
    """Return by row what keeps an image from being read: not there, no file, a link elsewhere."""
    folder = TaskFiles(images.folder)
    found = {}
    for row, file in enumerate(images.files):
        try:
            folder.status(file)
        except UserError as error:
            found[row] = str(error)
    return found


def _compare_splits(
    hashes: Mapping[str, Sequence[bytes]], roles: SplitRoles, report: TaskReport
) -> None:
    train, parts = roles.train, roles.parts() or ()
    if {train, roles.test} <= hashes.keys():
        test = set(hashes[roles.test])
        report.overlap = sum(one in test for one in hashes[train])
    for found in overlaps(hashes, roles.apart()):
        # What train shares with a scored split, its parts share too: one note is enough.
        pair = {found.smaller, found.larger}
        said = train in hashes and len(pair & set(parts)) == 1
        if found.too_large:
            report.problems.append(f"{found}.")
        elif not said:
            report.notes.append(f"{found}.")
    if parts and {train, *parts} <= hashes.keys():
        joined = Counter(one for name in parts for one in hashes[name])
        if joined != Counter(hashes[train]):
            report.problems.append(f"{' and '.join(parts)} together are not the images of {train}.")


def _compare_labels(
    splits: Mapping[str, Split],
    hashes: Mapping[str, Sequence[bytes]],
    roles: SplitRoles,
    report: TaskReport,
) -> None:
    files = {name: labelled_files(split) for name, split in splits.items()}
    contents: dict[str, list[tuple[bytes, Hashable]]] = {}
    for name, split in splits.items():
        if name in hashes:
            contents[name] = list(zip(hashes[name], labels_of(split), strict=True))
    if count := relabelled(contents, roles):
        parts = " and ".join(roles.parts() or ())
        said = counted(count, f"image of {parts} has", f"images of {parts} have")
        report.problems.append(f"{said} another label in {roles.train}.")
    if twice := with_two_labels(files):
        said = counted(len(twice), "file is", "files are")
        report.problems.append(f"{said} listed with two labels: {twice[0]} ...")
    elif same := with_two_labels(contents):
        said = counted(len(same), "image is", "images are")
        report.notes.append(f"{said} there twice with different labels.")


def _compare_with_manifest(
    folder: Path,
    hashes: Mapping[str, Sequence[bytes]],
    report: TaskReport,
    request: DataRequest,
    *,
    allow_partial: bool,
) -> None:
    try:
        manifest = manifest_of(folder)
        prepared_by(folder, request)
    except UserError as error:
        report.problems.append(str(error))
        return
    assert manifest is not None
    if manifest.partial:
        sentence = "prepared from an incomplete original (partial=true): complete and redo it."
        (report.notes if allow_partial else report.problems).append(sentence)
    report.notes += manifest.notes
    for name in manifest.changed_lists(folder):
        report.problems.append(f"{name} is not the list that was prepared: edited?")
    for name, found in hashes.items():
        expected = manifest.files.get(name)
        if expected is not None and [one.hex() for one in found] != list(expected):
            report.problems.append(f"the images of {name} are not those that its manifest names.")


def _decode(name: str, split: Split, hashes: Sequence[bytes] | None, report: TaskReport) -> None:
    images = files_of(split)

    def complaint(row: int) -> str | None:
        try:
            read_image(images.files[row])
        except UserError as error:
            return str(error)
        return None

    unusable = _unusable(images) if hashes is None else {}
    present = [row for row in range(len(images)) if row not in unusable]
    work = in_threads(complaint, present)
    title = f"reading {report.task} {name}"
    said = dict(tqdm(work, title, len(present), leave=False, disable=None))
    found = [sentence for sentence in said.values() if sentence]
    if hashes is not None:
        # So that runs need not find it out again.
        remember(images.decodable, [hashes[row] for row in present if not said[row]])
    report.splits[name].unreadable += found
    if found:
        count = counted(len(found), f"image of {name} is", f"images of {name} are")
        report.problems.append(f"{count} unreadable: {found[0]}")
