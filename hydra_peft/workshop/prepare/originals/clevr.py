"""CLEVR: rendered scenes of simple objects; how many are there, and how far is the nearest?

Keys: tensorflow/datasets, ``datasets/clevr``; labels: google-research/task_adaptation,
``data/clevr.py``. ``torchvision.datasets.CLEVRClassification`` is not used: it knows no distances,
and wants the archive unpacked in a folder ``clevr``.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hydra_peft.errors import UserError
from hydra_peft.files import what_is_no_json
from hydra_peft.workshop.prepare.originals._base import Original, Pool, RemoteFile, two_pools
from hydra_peft.workshop.prepare.originals._depth import depth_classes
from hydra_peft.workshop.prepare.originals._image_files import file_pool, png
from hydra_peft.workshop.prepare.originals._listing import check_listing
from hydra_peft.workshop.prepare.originals._source import SourceFolder

_ARCHIVE = "CLEVR_v1.0.zip"
#: pool to the word in file names; test scenes have not been published
_SPLITS = {"train": "train", "validation": "val"}
#: between which a distance is the class of its lower end
_DISTANCES = (0.0, 8.0, 8.5, 9.0, 9.5, 10.0, 100.0)
_SIZES = {"train": 70_000, "val": 15_000}
_FEWEST, _MOST = 3, 10
_SLICES = two_pools(90, test="validation")


def _pools(source: SourceFolder, task: str) -> dict[str, Pool]:
    """Return train and validation; the images are the stored PNGs.

    Raises:
        UserError: a file is missing, truncated or of another format, a scene without its image
            or the reverse, or a number of objects or a distance out of range.
    """
    return {pool: _pool(source, split, task) for pool, split in _SPLITS.items()}


class _Scene(NamedTuple):
    """Name of the image, and each object's distance from the camera."""

    image: Any
    distances: list[float]


def _pool(source: SourceFolder, split: str, task: str) -> Pool:
    relative = f"scenes/CLEVR_{split}_scenes.json"
    listing = source.file(f"CLEVR_v1.0/{relative}", relative, archives=[_ARCHIVE])
    folder = source.folder_or_file(
        f"CLEVR_v1.0/images/{split}", f"images/{split}", archives=[_ARCHIVE]
    )
    scenes = _scenes(listing)
    names = [scene.image for scene in scenes]
    name, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise UserError(f"{listing} describes {name} {times} times: unpack the archive again.")
    check_listing(folder, ".png", names, listing)
    source.expect_count(f"scenes in {listing.name}", len(scenes), _SIZES[split])
    if task == "clevr_count":
        labels = np.array([len(scene.distances) - _FEWEST for scene in scenes], np.int64)
    else:
        labels = depth_classes([min(scene.distances) for scene in scenes], _DISTANCES)
    return file_pool(folder, names, labels, read=png)


def _scenes(path: Path) -> list[_Scene]:
    """Read a file of scenes, keeping of each object only its distance."""
    try:
        with path.open("rb") as file:
            content = json.load(file, object_hook=_reduced)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}.") from None
    except (ValueError, OverflowError, RecursionError) as error:
        why = what_is_no_json(error)
        raise UserError(f"{path} is not whole json ({why}): unpack the archive again.") from None
    scenes = content.get("scenes") if isinstance(content, dict) else None
    if not isinstance(scenes, list) or not scenes:
        raise UserError(
            f"{path} should hold a list 'scenes', and has none: unpack the archive again."
        )
    for number, scene in enumerate(scenes):
        if reason := _wrong(scene):
            raise UserError(f"scene {number} of {path} {reason}: unpack the archive again.")
    return scenes


def _reduced(node: dict[str, Any]) -> Any:
    """Shrink each json object as soon as it is read: the whole of them takes gigabytes."""
    if "pixel_coords" in node:
        return node["pixel_coords"]
    if "image_filename" in node:
        return _Scene(node["image_filename"], _distances(node.get("objects")))
    return node if "scenes" in node else None


def _distances(objects: Any) -> list[float]:
    """Return the third coordinates; NaN for an object without, none where there is no list."""
    if not isinstance(objects, list):
        return []
    return [
        float(place[2])
        if isinstance(place, list) and len(place) == 3 and isinstance(place[2], int | float)
        else math.nan
        for place in objects
    ]


def _wrong(scene: Any) -> str | None:
    """Describe the fault of a scene, if any."""
    if not isinstance(scene, _Scene) or not isinstance(scene.image, str):
        return "names no image"
    if not _FEWEST <= len(scene.distances) <= _MOST:
        return f"has {len(scene.distances)} objects where CLEVR has {_FEWEST} to {_MOST}"
    low, high = _DISTANCES[0], _DISTANCES[-1]
    if not all(low < distance <= high for distance in scene.distances):
        return f"has an object whose third 'pixel_coords' is not above {low:g} and up to {high:g}"
    return None


ORIGINAL = Original(
    name="CLEVR",
    tasks={"clevr_count": _SLICES, "clevr_dist": _SLICES},
    # MD5: torchvision, clevr.py; size and sha256: tensorflow/datasets,
    # datasets/clevr/checksums.tsv
    files=(
        RemoteFile(
            _ARCHIVE,
            f"https://dl.fbaipublicfiles.com/clevr/{_ARCHIVE}",
            md5="b11922020e72d0cd9154779b2d3d07d2",
            size=19_021_600_724,
            sha256="5cd61cf1096ed20944df93c9adb31e74d189b8459a94f54ba00090e5c59936d1",
        ),
    ),
    page="https://cs.stanford.edu/people/jcjohns/clevr/",
    needs=(f"{_ARCHIVE}, or from it the folders CLEVR_v1.0/images and /scenes",),
    pools=_pools,
)
