"""Stanford Cars: 16,185 photographs of 196 makes, models and years (Krause et al. 2013).

Its own server is gone; copies have the folders ``cars_train``, ``cars_test`` and ``devkit``, and
``cars_test_annos_withlabels.mat`` beside or within the last. Not read through torchvision, whose
class decodes the images instead of handing on their files.
"""

from __future__ import annotations

import re
from pathlib import Path

from hydra_peft.errors import UserError
from hydra_peft.workshop.prepare.originals._base import TRAIN_AND_TEST, Original, Pool
from hydra_peft.workshop.prepare.originals._image_files import file_pool
from hydra_peft.workshop.prepare.originals._listing import check_present
from hydra_peft.workshop.prepare.originals._matlab import read_records, read_texts
from hydra_peft.workshop.prepare.originals._source import SourceFolder
from hydra_peft.workshop.prepare.originals._text_lists import is_below

KIT = "car_devkit.tgz"
ANNOTATIONS = {"train": "cars_train_annos.mat", "test": "cars_test_annos_withlabels.mat"}
SIZES = {"train": 8_144, "test": 8_041}


def _pools(source: SourceFolder, task: str) -> dict[str, Pool]:  # noqa: ARG001
    """Return the pools ``train`` and ``test``; keys are file names.

    Raises:
        UserError: a file is missing or malformed, or a class is out of range.
    """
    names = read_texts(source.file("devkit/cars_meta.mat", archives=[KIT]), "class_names")
    pools = {}
    for split, file in ANNOTATIONS.items():
        path = source.file(f"devkit/{file}", file, archives=[KIT])
        archive = f"cars_{split}.tgz"
        images = source.folder_or_file(f"cars_{split}", archives=[archive])
        keys, labels = _annotated(path, len(names))
        check_present(images, keys, path)
        source.expect_count(f"images of {split}", len(keys), SIZES[split])
        pools[split] = file_pool(images, keys, labels, classes=names)
    return pools


def _annotated(path: Path, classes: int) -> tuple[list[str], list[int]]:
    """Return file and label of each image."""
    keys, labels = [], []
    for number, (label, name) in enumerate(read_records(path, "annotations", "class", "fname"), 1):
        digits = re.fullmatch("[0-9]{1,9}", str(label))
        if not (isinstance(name, str) and is_below(name) and digits):
            raise UserError(f"{path}: annotation {number} is malformed: fetch it again.")
        if not 1 <= int(label) <= classes:
            raise UserError(
                f"{path}: annotation {number} has the class {label}, not one of 1 to {classes}: "
                "fetch it again."
            )
        keys.append(name)
        labels.append(int(label) - 1)
    return keys, labels


ORIGINAL = Original(
    name="Stanford Cars",
    tasks={},
    elevater={"stanford_cars": TRAIN_AND_TEST},
    files=(),
    page="https://github.com/pytorch/vision/issues/7545",
    needs=(
        "the folders cars_train, cars_test and devkit (or their archives)",
        ANNOTATIONS["test"],
    ),
    pools=_pools,
)
