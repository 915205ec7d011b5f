"""Diabetic retinopathy (Kaggle 2015): photographs of the retina; how grave is the disease?

Pools, keys and preprocessing: tensorflow/datasets, ``image_classification/
diabetic_retinopathy_detection.py``, configuration ``btgraham-300``. The test labels were published
after the competition, at
https://storage.googleapis.com/kaggle-forum-message-attachments/90528/2877/retinopathy_solution.csv.
torchvision has no class for it.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hydra_peft.errors import UserError
from hydra_peft.workshop.prepare.originals._base import THREE_POOLS, Original, Pool
from hydra_peft.workshop.prepare.originals._image_files import photo
from hydra_peft.workshop.prepare.originals._listing import check_listing
from hydra_peft.workshop.prepare.originals._optional import optional
from hydra_peft.workshop.prepare.originals._source import SourceFolder

_TRAIN_LABELS = "trainLabels.csv"
_TEST_LABELS = "retinopathy_solution.csv"
_TEST_COLUMNS = ("image", "level", "Usage")
_LEVELS = ("0", "1", "2", "3", "4")
#: the competition's two leaderboards, and the pools that they became
_USAGES = {"Public": "validation", "Private": "test"}
#: folder of each pool's photographs
_FOLDERS = {"train": "train", "validation": "test", "test": "test"}
_SIZES = {"train": 35_126, "validation": 10_906, "test": 42_670}
_RADIUS = 300
_KEPT_RADIUS = 270  # 90 percent
_SIGMA = _RADIUS / 30
_GREY = 128
_QUALITY = 72
#: of a scaled photograph; a bright dot on black would be scaled to many times that
_MOST_PIXELS = 2**28


def _pools(source: SourceFolder, task: str) -> dict[str, Pool]:  # noqa: ARG001
    """Return train, validation and test; images are preprocessed JPEGs.

    Raises:
        UserError: a file is missing, truncated or of another format, a photograph without its
            label or the reverse, or a label out of range.
    """
    levels = source.file(_TRAIN_LABELS, archives=[f"{_TRAIN_LABELS}.zip"])
    solution = source.file(_TEST_LABELS, archives=[f"{_TEST_LABELS}.zip"])
    train, rest = _rows(levels, ("image", "level")), _rows(solution, _TEST_COLUMNS)
    rows = {"train": train}
    for usage, pool in _USAGES.items():
        rows[pool] = [row for row in rest if row.usage == usage]
        if not rows[pool]:
            raise UserError(f"{solution} has no line of Usage {usage}: fetch it again.")
    folders = {}
    for folder, listed, listing in (("train", train, levels), ("test", rest, solution)):
        folders[folder] = source.folder_or_file(folder, archives=[f"{folder}.zip"])
        names = (f"{row.image}.jpeg" for row in listed)
        check_listing(folders[folder], ".jpeg", names, listing)
    for pool, size in _SIZES.items():
        source.expect_count(f"{pool} photographs", len(rows[pool]), size)
    return {pool: _pool(rows[pool], folders[_FOLDERS[pool]]) for pool in _SIZES}


class _Row(NamedTuple):
    """One line of a file of labels."""

    image: str
    level: int
    usage: str


def _pool(rows: Sequence[_Row], folder: Path) -> Pool:
    keys = [row.image for row in rows]
    labels = np.array([row.level for row in rows], np.int64)
    return Pool(keys, labels, lambda index: preprocess(folder / f"{keys[index]}.jpeg"))


def _rows(path: Path, columns: Sequence[str]) -> list[_Row]:
    """Read a csv file of labels, whose first line names at least ``columns``."""
    rows: dict[str, _Row] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if not set(columns) <= set(reader.fieldnames or ()):
                raise UserError(
                    f"{path} should start with a line of the columns {', '.join(columns)}, and "
                    f"starts with {', '.join(reader.fieldnames or ['nothing'])}: fetch it again."
                )
            for fields in reader:
                row = _row(fields, columns, f"{path}, line {reader.line_num}")
                if row.image in rows:
                    raise UserError(
                        f"{path}, line {reader.line_num}: {row.image} is listed a second time: "
                        "fetch the file again."
                    )
                rows[row.image] = row
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}.") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not a csv file ({error}): fetch it again.") from None
    if not rows:
        raise UserError(f"{path} lists no image: fetch it again.")
    return list(rows.values())


def _row(fields: Mapping[str, str | None], columns: Sequence[str], where: str) -> _Row:
    image, level, usage = (fields.get(column) for column in _TEST_COLUMNS)
    if not image or level not in _LEVELS or ("Usage" in columns and usage not in _USAGES):
        found = ", ".join(repr(fields[column]) for column in columns)
        raise UserError(
            f"{where}: expected an image, a level from 0 to 4 and, of the test set, Public or "
            f"Private; found {found}."
        )
    return _Row(image, int(level), usage or "")


def preprocess(path: Path) -> bytes:
    """Return a photograph as the winner of the competition prepared it, as a JPEG of quality 72.

    The eye is scaled to a radius of 300 pixels, its local average is subtracted, and a disc of 270
    pixels is cut out and put on grey.

    Raises:
        UserError: the file is missing, truncated or no JPEG, or its eye a few pixels wide.
    """
    cv2 = optional("cv2")
    content = np.frombuffer(photo(path), np.uint8)
    try:
        photograph = cv2.imdecode(content, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
        if photograph is None:
            raise UserError(f"{path} is no JPEG image that OpenCV reads: fetch it again.")
        height, width = photograph.shape[:2]
        scale = _RADIUS / eye_radius(photograph)
        if height * scale * width * scale > _MOST_PIXELS:
            raise UserError(f"{path} shows an eye of a few pixels: fetch it again.")
        scaled = cv2.resize(photograph, dsize=None, fx=scale, fy=scale)
        blurred = cv2.GaussianBlur(scaled, (0, 0), _SIGMA)
        contrasted = cv2.addWeighted(scaled, 4, blurred, -4, _GREY)
        _, encoded = cv2.imencode(
            ".jpg", _disc(cv2, contrasted), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
        )
    except cv2.error as error:
        raise UserError(f"{path} cannot be preprocessed ({error}): fetch it again.") from None
    return bytes(encoded)


def eye_radius(photograph: np.ndarray) -> float:
    """Estimate the radius of the eye in pixels: half of what is not black in the middle row.

    Args:
        photograph: uint8 ``[height, width, 3]``.
    """
    row = photograph[photograph.shape[0] // 2].sum(axis=1)
    radius = np.count_nonzero(row > row.mean() / 10) / 2
    # A few photographs are black there.
    return radius if radius >= 1 else photograph.shape[0] / 2


def _disc(cv2: Any, image: np.ndarray) -> np.ndarray:
    """Keep a disc in the middle, grey around it, and crop to the square that holds it."""
    y, x = image.shape[0] // 2, image.shape[1] // 2
    mask = np.zeros(image.shape[:2], np.uint8)
    cv2.circle(mask, center=(x, y), radius=_KEPT_RADIUS, color=1, thickness=-1)
    kept = np.where(mask[..., None] == 1, image, np.uint8(_GREY))
    top, left = max(y - _KEPT_RADIUS, 0), max(x - _KEPT_RADIUS, 0)
    return kept[top : y + _KEPT_RADIUS, left : x + _KEPT_RADIUS]


ORIGINAL = Original(
    name="Diabetic Retinopathy Detection (Kaggle 2015)",
    tasks={"retinopathy": THREE_POOLS},
    # Kaggle asks for a login.
    files=(),
    page="https://www.kaggle.com/c/diabetic-retinopathy-detection/data",
    needs=("train/*.jpeg", "test/*.jpeg", _TRAIN_LABELS, _TEST_LABELS),
    pools=_pools,
)
