"""KITTI, object detection: street scenes; how far is the nearest vehicle?

Images are split by video, as tensorflow/datasets does (``object_detection/kitti.py``): a drawing
with a fixed seed among the videos that the devkit's mapping names. Labels:
google-research/task_adaptation, ``data/kitti.py``. ``torchvision.datasets.Kitti`` is not used: it
knows neither the mapping nor an order, and wants the files in a folder ``Kitti/raw``.
"""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hydra_peft.errors import UserError
from hydra_peft.files import content_of
from hydra_peft.finite import decimal_number, whole_number
from hydra_peft.workshop.prepare.originals._base import (
    THREE_POOLS,
    TRAIN_AND_TEST,
    Original,
    Pool,
    RemoteFile,
)
from hydra_peft.workshop.prepare.originals._depth import depth_classes
from hydra_peft.workshop.prepare.originals._image_files import file_pool, png
from hydra_peft.workshop.prepare.originals._listing import check_listing
from hydra_peft.workshop.prepare.originals._source import SourceFolder

_URL = "https://s3.eu-central-1.amazonaws.com/avg-kitti/"
_IMAGES = "data_object_image_2.zip"
_LABELS = "data_object_label_2.zip"
_DEVKIT = "devkit_object.zip"
_VEHICLES = ("Car", "Van", "Truck")
_OTHERS = ("Pedestrian", "Person_sitting", "Cyclist", "Tram", "Misc")
#: regions that were not labelled; their columns hold no measurements
_IGNORED = "DontCare"
_COLUMNS = 15
_Z = 13
#: metres between which a distance is the class of its lower end; the last class has no vehicle
_DISTANCES = (-100.0, 8.0, 20.0, 999.0)
_NO_VEHICLE = 1000.0
#: the longest text, the devkit's mapping, has 0.4 MB
_MOST_BYTES = 16 * 2**20
_SEED = 123
_SIZES = {"train": 6_347, "validation": 423, "test": 711}


def _pools(source: SourceFolder, task: str) -> dict[str, Pool]:  # noqa: ARG001
    """Return train, validation and test; the images are stored PNGs.

    Raises:
        UserError: a file is missing, truncated or of another format, or an image without its
            labels or the reverse.
    """
    images = source.folder_or_file("training/image_2", archives=[_IMAGES])
    truth = source.folder_or_file("training/label_2", archives=[_LABELS])
    listing, videos = _videos(source)
    for folder, suffix in ((images, ".png"), (truth, ".txt")):
        names = (f"{index:06d}{suffix}" for index in range(len(videos)))
        check_listing(folder, suffix, names, listing)
    pools = {}
    for pool, chosen in _drawn(videos, listing).items():
        indices = [index for index, video in enumerate(videos) if video in chosen]
        source.expect_count(f"{pool} images", len(indices), _SIZES[pool])
        pools[pool] = _pool(images, truth, indices)
    return pools


def _pool(images: Path, truth: Path, indices: Sequence[int]) -> Pool:
    keys = [f"{index:06d}.png" for index in indices]
    nearest = [_nearest_vehicle(truth / f"{index:06d}.txt") for index in indices]
    return file_pool(images, keys, depth_classes(nearest, _DISTANCES), read=png)


def _videos(source: SourceFolder) -> tuple[Path, list[str]]:
    """Return the file that lists the images, and the name of the video that each is from."""
    rand, mapping = (
        source.file(f"mapping/{name}", f"devkit_object/mapping/{name}", archives=[_DEVKIT])
        for name in ("train_rand.txt", "train_mapping.txt")
    )
    frames = [line.split() for line in _text(mapping).splitlines()]
    try:
        numbers = [whole_number(word.strip()) for word in _text(rand).split(",")]
    except ValueError:
        raise UserError(
            f"{rand} should hold whole numbers with commas between: unpack {_DEVKIT} again."
        ) from None
    if len(set(numbers)) != len(numbers):
        raise UserError(f"{rand} names a line of {mapping} twice: unpack {_DEVKIT} again.")
    videos = []
    for number in numbers:
        if not 1 <= number <= len(frames) or len(frames[number - 1]) != 3:
            raise UserError(
                f"{mapping} should have on line {number}, which {rand} points to, a date, a video "
                f"and a frame: unpack {_DEVKIT} again."
            )
        videos.append(frames[number - 1][1])
    return rand, videos


def _drawn(videos: Sequence[str], listing: Path) -> dict[str, set[str]]:
    """Return the videos of each pool: a tenth for test, a tenth for validation."""
    names = sorted(set(videos))
    share = max(1, len(names) * 10 // 100)
    if len(names) < 2 * share + 1:
        raise UserError(
            f"{listing} points to frames of {len(names)} videos, too few for three pools: unpack "
            f"{_DEVKIT} again."
        )
    # One stream for both drawings, of the generator that np.random.seed sets.
    stream = np.random.RandomState(_SEED)
    test = set(stream.choice(names, share, replace=False).tolist())
    rest = sorted(set(names) - test)
    validation = set(stream.choice(rest, share, replace=False).tolist())
    return {"train": set(rest) - validation, "validation": validation, "test": test}


def _nearest_vehicle(path: Path) -> float:
    """Return the smallest distance (m, along the camera's axis) of a vehicle, or 1000."""
    nearest = _NO_VEHICLE
    for number, line in enumerate(_text(path).splitlines(), 1):
        columns = line.split()
        if len(columns) != _COLUMNS or columns[0] not in (*_VEHICLES, *_OTHERS, _IGNORED):
            raise UserError(
                f"{path}, line {number}: expected {_COLUMNS} columns that start with a type such "
                f"as Car, found '{line[:60]}': unpack {_LABELS} again."
            )
        if columns[0] in _VEHICLES:
            nearest = min(nearest, _distance(columns[_Z], f"{path}, line {number}"))
    return nearest


def _distance(word: str, where: str) -> float:
    try:
        distance = decimal_number(word)
    except ValueError:
        distance = math.nan
    if not _DISTANCES[0] < distance <= _DISTANCES[-1]:
        raise UserError(
            f"{where}: the distance in column {_Z + 1} should be a number of metres above "
            f"{_DISTANCES[0]:g}, found '{word}': unpack {_LABELS} again."
        )
    return distance


def _text(path: Path) -> str:
    content = content_of(path, _MOST_BYTES, links=True)
    if content is None:
        raise UserError(f"cannot read {path}: {os.strerror(errno.ENOENT)}.")
    try:
        return content.decode("ascii")
    except UnicodeDecodeError:
        raise UserError(f"{path} is not plain text: unpack its archive again.") from None


ORIGINAL = Original(
    name="KITTI",
    tasks={"kitti_dist": THREE_POOLS},
    elevater={"kitti_distance": TRAIN_AND_TEST},
    # Sizes and sha256: tensorflow/datasets, datasets/kitti/checksums.tsv; the devkit is that of
    # October 2019 and later, an earlier one had 63,778 bytes.
    files=(
        RemoteFile(
            _IMAGES,
            _URL + _IMAGES,
            size=12_569_945_557,
            sha256="351c5a2aa0cd9238b50174a3a62b846bc5855da256b82a196431d60ff8d43617",
        ),
        RemoteFile(
            _LABELS,
            _URL + _LABELS,
            size=5_601_213,
            sha256="4efc76220d867e1c31bb980bbf8cbc02599f02a9cb4350effa98dbb04aaed880",
        ),
        RemoteFile(
            _DEVKIT,
            _URL + _DEVKIT,
            size=63_794,
            sha256="ce0b76b69c0c5f89690a0d65b7302bbbdb962a0c7e8aba6efc7050d1b04b4cf1",
        ),
    ),
    page="https://www.cvlibs.net/datasets/kitti/eval_object.php",
    needs=(_IMAGES, _LABELS, _DEVKIT),
    pools=_pools,
)
