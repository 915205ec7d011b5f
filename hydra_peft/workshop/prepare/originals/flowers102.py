"""Oxford 102 Flowers: 8,189 photographs of 102 kinds (Nilsback and Zisserman 2008).

Derivation as in tensorflow/datasets' ``oxford_flowers102``. Not read through torchvision, whose
class decodes the images instead of handing on their files, wants its own folder around them, and
takes no other label files than the two whose MD5 it knows.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hydra_peft.errors import UserError
from hydra_peft.workshop.prepare.originals._base import (
    THREE_POOLS,
    TRAIN_AND_TEST,
    Original,
    Pool,
    RemoteFile,
)
from hydra_peft.workshop.prepare.originals._image_files import file_pool
from hydra_peft.workshop.prepare.originals._listing import check_present
from hydra_peft.workshop.prepare.originals._matlab import read_integers
from hydra_peft.workshop.prepare.originals._source import SourceFolder

FOLDER = "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/"
ARCHIVE = "102flowers.tgz"
SETS = {"train": "trnid", "validation": "valid", "test": "tstid"}
SIZES = {"train": 1_020, "validation": 1_020, "test": 6_149}
CLASSES = 102


def _pools(source: SourceFolder, task: str) -> dict[str, Pool]:  # noqa: ARG001
    """Return the pools ``train``, ``validation``, ``test``; keys are like ``image_00001.jpg``.

    Raises:
        UserError: a file is missing or malformed, a label is out of range, or the three sets
            do not take each labelled image once.
    """
    labels = _labels(source.file("imagelabels.mat"))
    setid = source.file("setid.mat")
    sets = read_integers(setid, list(SETS.values()))
    _check_sets(setid, sets, len(labels))
    images = source.folder_or_file("jpg", archives=[ARCHIVE])
    pools = {}
    for split, name in SETS.items():
        keys = [f"image_{number:05d}.jpg" for number in sets[name]]
        check_present(images, keys, setid)
        source.expect_count(f"images in set {name}", len(keys), SIZES[split])
        pools[split] = file_pool(images, keys, labels[sets[name] - 1].tolist())
    return pools


def _labels(path: Path) -> np.ndarray:
    """Return the label of each image, 0 to 101, int64; that of image 1 is at 0."""
    labels = read_integers(path, ["labels"])["labels"]
    wrong = np.flatnonzero((labels < 1) | (labels > CLASSES))
    if len(wrong):
        raise UserError(
            f"{path}: the label of image {wrong[0] + 1} is {labels[wrong[0]]}, not one of 1 to "
            f"{CLASSES}: fetch it again."
        )
    return labels - 1


def _check_sets(path: Path, sets: dict[str, np.ndarray], labelled: int) -> None:
    numbers = np.concatenate([sets[name] for name in SETS.values()])
    values, counts = np.unique(numbers, return_counts=True)
    if np.any(counts > 1):
        raise UserError(
            f"{path} takes image {values[counts > 1][0]} more than once: fetch it again."
        )
    outside = values[(values < 1) | (values > labelled)]
    if len(outside):
        raise UserError(
            f"{path} takes image {outside[0]}, but imagelabels.mat labels images 1 to {labelled}: "
            "the two do not belong together, fetch both again."
        )
    if len(numbers) != labelled:
        raise UserError(
            f"{path} takes {len(numbers):,} images, but imagelabels.mat labels {labelled:,}: the "
            "two do not belong together, fetch both again."
        )


ORIGINAL = Original(
    name="Oxford 102 Flowers",
    tasks={"flowers102": THREE_POOLS},
    elevater={"flowers102": TRAIN_AND_TEST},
    # URLs and MD5 sums: torchvision, flowers102.py; sizes and sha256: tensorflow/datasets,
    # url_checksums/oxford_flowers102.txt
    files=(
        RemoteFile(
            ARCHIVE,
            FOLDER + ARCHIVE,
            md5="52808999861908f626f3c1f4e79d11fa",
            size=344_862_509,
            sha256="2d01ecc807db462958cfe3d92f57a8c252b4abd240eb955770201e45f783b246",
        ),
        RemoteFile(
            "imagelabels.mat",
            FOLDER + "imagelabels.mat",
            md5="e0620be6f572b9609742df49c70aed4d",
            size=502,
            sha256="4903e94206bac23bf772aadf06451916df56b58fc483a62db32a97b82656651d",
        ),
        RemoteFile(
            "setid.mat",
            FOLDER + "setid.mat",
            md5="a5357ecc9cb78c4bef273ce3793fc85c",
            size=14_989,
            sha256="46b8678f91fd95d3c8f4feab80d271a6c834a1dd896fe29fd3e6ad9ce5c8dccd",
        ),
    ),
    page=FOLDER,
    needs=(f"{ARCHIVE}, or from it the folder jpg", "imagelabels.mat", "setid.mat"),
    pools=_pools,
)
