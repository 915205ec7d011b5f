"""DMLab: frames of DeepMind Lab; how far is the nearest object, and is it a good one?

Files, keys and labels: tensorflow/datasets, ``image_classification/dmlab.py``. torchvision has no
class for it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hydra_peft.errors import UserError
from hydra_peft.workshop.prepare.originals._base import THREE_POOLS, Original, Pool, RemoteFile
from hydra_peft.workshop.prepare.originals._example import (
    Feature,
    MalformedError,
    Span,
    parse_example,
)
from hydra_peft.workshop.prepare.originals._source import SourceFolder
from hydra_peft.workshop.prepare.originals._tfrecord import records

_ARCHIVE = "dmlab.tar.gz"
_CLASSES = 6
_SIZES = {"train": 65_550, "validation": 22_628, "test": 22_735}
_JPEG = b"\xff\xd8\xff"
_SHARD = re.compile(r"\.tfrecord-(\d{5})-of-(\d{5})")


def _pools(source: SourceFolder, task: str) -> dict[str, Pool]:  # noqa: ARG001
    """Return train, validation and test; the images are stored JPEGs.

    Every record's checksum is verified, which reads 3 GB.

    Raises:
        UserError: a file is missing, truncated, damaged or of another format, or a label is out
            of range.
    """
    pools = {pool: _pool(_shards(source, pool)) for pool in _SIZES}
    for pool, size in _SIZES.items():
        source.expect_count(f"{pool} images", len(pools[pool].keys), size)
    return pools


class _Frame(NamedTuple):
    """Frame of a record: the position of its JPEG."""

    path: Path
    place: int
    size: int


def _shards(source: SourceFolder, pool: str) -> list[Path]:
    """Return the files of a pool: one, or a complete set ``-00000-of-00010`` and on."""
    stem = f"dmlab-{pool}.tfrecord"
    paths = source.files(f"{stem}*", f"dmlab/{stem}*", archives=[_ARCHIVE])
    names = [path.name for path in paths]
    match = _SHARD.search(names[0])
    count = int(match[2]) if match else 1
    expected = [f"{stem}-{shard:05d}-of-{count:05d}" for shard in range(count)] if match else [stem]
    if names != expected:
        odd = sorted(set(names) ^ set(expected))[0]
        verb = "is missing beside" if odd in expected else "should not lie beside"
        raise UserError(
            f"{paths[0].parent / odd} {verb} {names[0]}: one file {stem}, or all shards of one "
            "set, should be there."
        )
    return paths


def _pool(shards: Sequence[Path]) -> Pool:
    keys: list[bytes] = []
    labels: list[int] = []
    frames: list[_Frame] = []
    for path in shards:
        for number, (place, data) in enumerate(records(path)):
            try:
                image, key, label = _frame(data)
            except MalformedError as error:
                raise UserError(
                    f"record {number} of {path} is no labelled image ({error}): fetch it again."
                ) from None
            frames.append(_Frame(path, place + image.start, image.stop - image.start))
            keys.append(key)
            labels.append(label)
    if not keys:
        raise UserError(f"{shards[0]} is empty: fetch or unpack it again.")
    return Pool(keys, np.array(labels, np.int64), lambda index: _read(frames[index]))


def _frame(data: bytes) -> tuple[Span, bytes, int]:
    """Return place of the image, key and label of a record."""
    features = parse_example(data)
    image = _only(features, "image")
    filename = _only(features, "filename")
    label = _only(features, "label")
    if not isinstance(image, Span) or not data.startswith(_JPEG, image.start, image.stop):
        raise MalformedError("its image is no JPEG")
    if not isinstance(filename, Span):
        raise MalformedError("its filename is not of type bytes")
    if not isinstance(label, int) or not 0 <= label < _CLASSES:
        raise MalformedError(f"its label should be 0 to {_CLASSES - 1}")
    return image, data[filename.start : filename.stop], label


def _only(features: Mapping[str, Feature], name: str) -> Span | int:
    values = features.get(name, [])
    if len(values) != 1:
        raise MalformedError(f"it has {len(values)} values of '{name}' where one is expected")
    return values[0]


def _read(frame: _Frame) -> bytes:
    try:
        with frame.path.open("rb") as file:
            file.seek(frame.place)
            content = file.read(frame.size)
    except OSError as error:
        raise UserError(f"cannot read {frame.path}: {error.strerror or error}.") from None
    if len(content) != frame.size:
        raise UserError(f"{frame.path} has become shorter while it was read: start again.")
    return content


ORIGINAL = Original(
    name="DMLab",
    tasks={"dmlab": THREE_POOLS},
    # Size and sha256: tensorflow/datasets, url_checksums/dmlab.txt
    files=(
        RemoteFile(
            _ARCHIVE,
            f"https://storage.googleapis.com/dmlab-vtab/{_ARCHIVE}",
            size=3_017_022_789,
            sha256="638b18fa69a5d61bbc310cd0b87ac603a39f41de0fdb07b6e77de274a24480a4",
        ),
    ),
    page="https://github.com/google-research/task_adaptation",
    needs=(
        f"{_ARCHIVE}, or dmlab-train.tfrecord*, dmlab-validation.tfrecord*, dmlab-test.tfrecord*",
    ),
    pools=_pools,
)
