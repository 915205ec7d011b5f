"""One's own images with their classes: described, split where that is missing, loaded.

What the sources ``folder``, ``csv``, ``parquet`` and ``hf`` have in common.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra_peft.data.list_files import ImageList
from hydra_peft.data.promises import LabelRange, SeenLabels
from hydra_peft.data.shares import PARTS, allot, by_content, wanted_shares
from hydra_peft.data.sources._request import DataRequest
from hydra_peft.data.split_roles import SplitRoles
from hydra_peft.errors import UserError, did_you_mean
from hydra_peft.files import real_path
from hydra_peft.quoting import of_file

if TYPE_CHECKING:
    from hydra_peft.data.images import EncodedImages  # loads torch
    from hydra_peft.data.task_data import TaskData

#: what splits are called by those who made them
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
#: what stands for a label that is missing, in files that programs wrote
NO_LABEL = ("", "nan", "NaN")
#: a name that is a whole number, and the number
_NUMBER = re.compile(r"0*([0-9]+)(?:\.0*)?")
#: ends of the names of images, of the formats that are read
SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")


@dataclass(frozen=True)
class OwnData:
    """Images and classes as they were found.

    Attributes:
        place: where, for messages: a folder, a file, a name.
        names: of the classes, by label.
        given: the label of each image by split, ``train`` among them.
        images: returns the images of a split, as encoded; called with the split, the file to keep
            their hashes in, and a title for progress bars.
        lineage: how the data came here.
    """

    place: Path | str
    names: tuple[str, ...]
    given: Mapping[str, Sequence[int]]
    images: Callable[[str, Path, str], EncodedImages]
    lineage: str


def is_image(name: str) -> bool:
    """Whether a file of this name should be an image; upper and lower case are the same."""
    return name.lower().endswith(SUFFIXES)


def is_hidden(name: str) -> bool:
    """Whether systems leave files or folders of this name behind that nobody means."""
    return name.startswith(".") or name in ("__MACOSX", "Thumbs.db", "desktop.ini")


def check_own_data(data: OwnData) -> None:
    """Check that there is something to tell apart, and that what is tested was trained on.

    Raises:
        UserError: there are fewer than two classes, two read alike, or one of a scored split is not
            in train.
    """
    if "train" not in data.given:
        found = " and ".join(data.given)
        raise UserError(
            f"{data.place} has {found} and no train: nothing is there to train on, or to tell the "
            "classes by."
        )
    _check_apart(data)
    learnt = set(data.given["train"])
    for split, labels in data.given.items():
        for label in sorted(set(labels) - learnt):
            known = [data.names[one] for one in sorted(learnt)]
            name = data.names[label]
            raise UserError(
                f"{data.place}: class '{of_file(name)}' is in {split} and not in train"
                f"{of_file(did_you_mean(name, known), '')}: nothing could learn it, put images of "
                "it into train or take it out."
            )
    if len(learnt) < 2:
        (name,) = (data.names[label] for label in learnt)
        raise UserError(
            f"{data.place} has one class only, '{of_file(name)}': there is nothing to tell apart, "
            "at least two are needed."
        )


def _check_apart(data: OwnData) -> None:
    """Check that no two classes have one name in two forms: of Unicode, as systems write files, or
    of a number, as programs write them."""
    seen: dict[str, str] = {}
    for name in data.names:
        text = unicodedata.normalize("NFC", name)
        number = _NUMBER.fullmatch(text)
        other = seen.setdefault(number[1] if number else text, name)
        if other != name:
            same = "number" if number else "text in two forms of Unicode"
            raise UserError(
                f"{data.place} has two classes whose names are the same {same} "
                f"({of_file(ascii(other))} and {of_file(ascii(name))}): make one of them."
            )


def described(data: OwnData, split: Sequence[float] | None) -> dict[str, Any]:
    """Return the values of ``dataset`` that ``data`` decides: classes, splits and their sizes.

    Args:
        split: shares of train, val and test; None where nothing is to be split off. The value of
            that key is among what is returned, None where it decides nothing.

    Raises:
        UserError: no test images are there, and none can be split off.
    """
    counts = {name: len(part) for name, part in _labels(data, split).items()}
    if not counts.get("test"):
        has_share = split is not None and split[-1] > 0
        advice = "" if has_share else "give it a share for test, such as [0.8,0.1,0.1], or "
        raise UserError(
            f"{data.place} has no test images, and dataset.split={_shown(split)} leaves none over: "
            f"{advice}put more images of each class there."
        )
    held_out = bool(counts.get("val"))
    roles: dict[str, Any] = {"train": "train", "test": "test"}
    roles |= {"fit": "train", "val": "val"} if held_out else {}
    # All of them, as a record's science has them.
    whole = dataclasses.asdict(SplitRoles(**roles))
    taken = set(_missing(data, split))
    return {
        "classes": len(data.names),
        "splits": whole,
        "sizes": {name: counts[name] for name in PARTS if counts.get(name)},
        "split": list(split) if split is not None and taken else None,
    }


def listed_files(
    place: Path, folder: Path, names: tuple[str, ...], given: Mapping[str, ImageList], lineage: str
) -> OwnData:
    """Return the image files below ``folder`` that are ``given`` by split, with their labels."""

    def images(split: str, index: Path, title: str) -> EncodedImages:
        from hydra_peft.data.images import FileImages

        paths = [folder / path for path in given[split].paths]
        return FileImages(paths, index, title, folder)

    labels = {name: listed.labels for name, listed in given.items()}
    data = OwnData(place, names, labels, images, lineage)
    check_own_data(data)
    return data


def plain_name(text: str) -> str:
    """Return ``text`` as the name of a task: letters, digits and ``_.+-``."""
    return re.sub(r"[^A-Za-z0-9_.+-]+", "_", text).strip("_.+-") or "own"


def labels_of(data: OwnData, request: DataRequest) -> SeenLabels:
    """Return how many images each split of ``request`` has, and of which classes."""
    labels = _labels(data, request.options.split)
    ranges = {name: LabelRange.of(labels[name]) for name in _there(labels, request)}
    return SeenLabels(ranges, data.lineage)


def load(data: OwnData, request: DataRequest) -> TaskData:
    """Return the splits of ``request``; those that are not given are taken out of train.

    Raises:
        UserError: a file is missing, no ordinary one, or leads out of the folder.
    """
    import torch

    from hydra_peft.data.overlap import rows
    from hydra_peft.data.split import Split
    from hydra_peft.data.task_data import TaskData

    place = real_path(data.place) if isinstance(data.place, Path) else data.place
    where = hashlib.sha256(os.fsencode(place)).hexdigest()[:16]

    def images(split: str) -> EncodedImages:
        index = request.cache / "hashes" / f"{request.name}-{split}-{where}.safetensors"
        return data.images(split, index, f"{request.name} {split}")

    found = {name: images(name) for name in data.given}
    labels = {name: list(given) for name, given in data.given.items()}
    if missing := _missing(data, request.options.split):
        pool, pooled = found["train"], labels["train"]
        shares = {"train": 1 - sum(missing.values()), **missing}
        parts = by_content(pooled, rows(pool.hashes), shares, request.split_seed)
        for name, chosen in parts.items():
            found[name] = pool.part(chosen, name)
            labels[name] = [pooled[row] for row in chosen]
    splits = {
        name: Split({"image": found[name]}, torch.tensor(labels[name], dtype=torch.int64))
        for name in _there(labels, request)
    }
    return TaskData(splits, data.lineage, classes=data.names)


def _missing(data: OwnData, split: Sequence[float] | None) -> dict[str, float]:
    """Return the share of train that is taken for each part that is not given."""
    shares = wanted_shares(split, tuple(data.given)) if split is not None else {}
    return {name: share for name, share in shares.items() if name != "train"}


def _labels(data: OwnData, split: Sequence[float] | None) -> dict[str, list[int]]:
    """Return the labels of each part, in no order of any meaning."""
    labels = {name: list(given) for name, given in data.given.items()}
    if missing := _missing(data, split):
        shares = {"train": 1 - sum(missing.values()), **missing}
        parts: dict[str, list[int]] = {name: [] for name in shares}
        for label, count in sorted(Counter(labels["train"]).items()):
            for name, taken in allot(count, shares).items():
                parts[name] += [label] * taken
        labels |= parts
    return labels


def _there(labels: Mapping[str, Sequence[int]], request: DataRequest) -> tuple[str, ...]:
    """Return the splits of ``request``.

    Raises:
        UserError: one has no images.
    """
    for name in request.splits:
        if not labels.get(name):
            raise UserError(
                f"dataset {request.name} has no images in {name}: the data has changed, or "
                "dataset.split leaves none for it."
            )
    return request.splits


def _shown(split: Sequence[float] | None) -> str:
    return "null" if split is None else str(list(split)).replace(" ", "")
