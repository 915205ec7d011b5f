"""Images of a data set as they are: counts, sizes, modes, what cannot be read, what is there twice.

Of any source whose images are encoded; :mod:`hydra_peft.data.checking` compares prepared data with
what its yaml promises.
"""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from tqdm import tqdm

from hydra_peft.data.decodable import remember
from hydra_peft.data.decoding import Encoded, in_threads, open_image, read_image
from hydra_peft.data.images import EncodedImages
from hydra_peft.data.overlap import overlaps, rows
from hydra_peft.data.split_roles import SplitRoles
from hydra_peft.data.task_data import TaskData
from hydra_peft.errors import UserError
from hydra_peft.plain_text import counted


@dataclass
class Inspection:
    """Result of an inspection: counts, sizes, modes and faults of images.

    Attributes:
        counts: images by class and split.
        widths, heights: in pixels: the least, the median and the greatest of what could be read.
        modes: images by PIL's mode (``RGB``, ``L``, ``P``, ...).
        unreadable: one sentence for each image that cannot be read.
        duplicates: files of equal content, as ``split: file``, where there are several.
        problems: sentences; a run would refuse such data, or its score would be worth little.
        notes: sentences on what is worth knowing and no fault.
        sha256: of the content of all splits.
    """

    counts: dict[str, dict[str, int]]
    widths: tuple[int, int, int] = (0, 0, 0)
    heights: tuple[int, int, int] = (0, 0, 0)
    modes: dict[str, int] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)
    duplicates: list[list[str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    sha256: str = ""


def inspect(data: TaskData, roles: SplitRoles) -> Inspection:
    """Return what is right and wrong with the images of ``data``; each is decoded.

    Args:
        data: images are encoded, targets classes.
        roles: which splits should have no image in common.

    Raises:
        UserError: a file is no ordinary one, or leads out of its folder.
    """
    found = Inspection(_counts(data), sha256=str(data.describe()["sha256"]))
    _read(data, found)
    _compare(data, roles, found)
    alike: Mapping[str, list[str]] = defaultdict(list)
    for name in data.classes:
        alike["".join(unicodedata.normalize("NFKC", name).casefold().split())].append(name)
    for names in alike.values():
        if len(names) > 1:
            shown = " and ".join(map(repr, names))
            found.notes.append(f"classes {shown} have nearly one name: are they one class?")
    for name, counts in found.counts.items():
        if sum(counts.values()) == 1:
            found.notes.append(f"class '{name}' has one image only, in {next(iter(counts))}.")
        elif lacking := [split for split in data.splits if not counts.get(split)]:
            found.notes.append(f"class '{name}' has no image in {' and '.join(lacking)}.")
    return found


def files_by_class(data: TaskData, split: str) -> dict[str, list[Encoded]]:
    """Return the images of each class in ``split``, in their order."""
    files: dict[str, list[Encoded]] = {name: [] for name in data.classes}
    targets = data.splits[split].targets.tolist()
    for file, label in zip(_images(data, split).files, targets, strict=True):
        files[data.classes[label]].append(file)
    return files


def _images(data: TaskData, split: str) -> EncodedImages:
    images = data.splits[split].inputs.get("image")
    assert isinstance(images, EncodedImages), "checked by who asks"
    return images


def _counts(data: TaskData) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {name: {} for name in data.classes}
    for split, found in data.splits.items():
        for label, count in sorted(Counter(found.targets.tolist()).items()):
            counts[data.classes[label]][split] = count
    return counts


def _read(data: TaskData, found: Inspection) -> None:
    """Decode every image; what could be decoded is remembered for runs."""
    sizes: list[tuple[int, int]] = []
    modes: Counter[str] = Counter()
    for split in data.splits:
        images = _images(data, split)
        work = in_threads(_look, images.files)
        contents, read = rows(images.hashes), []
        title = f"reading {split}"
        for row, (_, seen) in enumerate(tqdm(work, title, len(images), leave=False, disable=None)):
            if isinstance(seen, str):
                found.unreadable.append(seen)
                continue
            sizes.append(seen[:2])
            modes[seen[2]] += 1
            read.append(contents[row])
        remember(images.decodable, read)
    found.modes = dict(modes.most_common())
    if sizes:
        found.widths, found.heights = (_spread([size[axis] for size in sizes]) for axis in (0, 1))
    if found.unreadable:
        count = counted(len(found.unreadable), "image")
        found.problems.append(f"{count} cannot be read: {found.unreadable[0]}")


def _look(file: Encoded) -> tuple[int, int, str] | str:
    """Return width, height and mode of an image, or why it cannot be read."""
    try:
        height, width = read_image(file).shape[:2]
    except UserError as error:
        return str(error)
    with open_image(file) as image:
        return width, height, image.mode


def _spread(values: list[int]) -> tuple[int, int, int]:
    ordered = sorted(values)
    return ordered[0], ordered[len(ordered) // 2], ordered[-1]


def _compare(data: TaskData, roles: SplitRoles, found: Inspection) -> None:
    """Say which images are there twice, in a split or over splits, and with which labels."""
    hashes = {split: rows(part.hashes()) for split, part in data.splits.items()}
    for shared in overlaps(hashes, roles.apart()):
        (found.problems if shared.too_large else found.notes).append(f"{shared}.")
    places: Mapping[bytes, list[tuple[str, Encoded, int]]] = defaultdict(list)
    for split, part in data.splits.items():
        files, labels = _images(data, split).files, part.targets.tolist()
        for content, file, label in zip(hashes[split], files, labels, strict=True):
            places[content].append((split, file, label))
    twice = [copies for copies in places.values() if len(copies) > 1]
    found.duplicates = [[f"{split}: {file}" for split, file, _ in copies] for copies in twice]
    if twice:
        beyond = sum(len(copies) - 1 for copies in twice)
        said = counted(beyond, "image is a copy of another", "images are copies of others")
        one, other = found.duplicates[0][:2]
        found.notes.append(f"{said}, such as {one} and {other}.")
    if differing := [copies for copies in twice if len({label for *_, label in copies}) > 1]:
        (_, one_file, first), (_, other_file, second) = _two_labels(differing[0])
        said = counted(len(differing), "image is", "images are")
        found.problems.append(
            f"{said} there with several labels, such as {one_file} as "
            f"'{data.classes[first]}' and {other_file} as '{data.classes[second]}'."
        )


def _two_labels(
    copies: list[tuple[str, Encoded, int]],
) -> tuple[tuple[str, Encoded, int], tuple[str, Encoded, int]]:
    first = copies[0]
    return first, next(copy for copy in copies if copy[2] != first[2])
