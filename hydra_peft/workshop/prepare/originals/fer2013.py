"""FER2013: 35,887 grey images of 48x48 of faces in seven emotions (Goodfellow et al. 2013).

Read from ``fer2013.csv`` or ``icml_face_data.csv``, whose column Usage says which images are the
test set: the private one, as is usual. torchvision's class joins the public one to it, and then has
7,178 test images.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from hydra_peft.errors import UserError
from hydra_peft.workshop.prepare.originals._base import TRAIN_AND_TEST, Original, Pool
from hydra_peft.workshop.prepare.originals._source import SourceFolder
from hydra_peft.workshop.prepare.originals._tables import column_of, read_table, whole_numbers

FILES = ("fer2013.csv", "icml_face_data.csv")
#: in the order of the column emotion
CLASSES = ("Angry", "Disgust", "Fear", "Happy", "Sad", "Surprise", "Neutral")
USAGE = {"train": "Training", "test": "PrivateTest"}
SIZES = {"train": 28_709, "test": 3_589}
SIDE = 48


def _pools(source: SourceFolder, task: str) -> dict[str, Pool]:  # noqa: ARG001
    """Return the pools ``train`` and ``test``; keys are lines of the table.

    Raises:
        UserError: the table is missing or malformed, or has no column Usage.
    """
    path = source.file(*(f"{place}{name}" for name in FILES for place in ("", "fer2013/")))
    rows = read_table(path)
    usage = column_of(rows, path, "Usage")
    emotions = whole_numbers(column_of(rows, path, "emotion"), path, "emotion", len(CLASSES))
    pixels = column_of(rows, path, "pixels")
    pools = {}
    for split, word in USAGE.items():
        chosen = [row for row, found in enumerate(usage) if found == word]
        images = np.array([_image(pixels[row], f"{path}, line {row + 2}") for row in chosen])
        source.expect_count(f"images of usage {word}", len(chosen), SIZES[split])
        labels = np.array([emotions[row] for row in chosen], dtype=np.int64)
        pools[split] = Pool([row + 2 for row in chosen], labels, _reader(images), CLASSES)
    return pools


def _reader(images: np.ndarray) -> Callable[[int], Image.Image]:
    return lambda index: Image.fromarray(images[index])


def _image(text: str, where: str) -> np.ndarray:
    values = text.split()
    digits = text.isascii() and len(values) == SIDE * SIDE and max(map(len, values)) < 4
    fits = digits and all(v.isdigit() and int(v) < 256 for v in values)
    if not fits:
        raise UserError(
            f"{where}: pixels should be {SIDE * SIDE} numbers of 0 to 255, found {len(values)}: "
            "fetch the table again."
        )
    return np.array(values, dtype=np.uint8).reshape(SIDE, SIDE)


ORIGINAL = Original(
    name="FER2013",
    tasks={},
    elevater={"fer2013": TRAIN_AND_TEST},
    files=(),
    page="https://www.kaggle.com/c/challenges-in-representation-learning-facial-expression-"
    "recognition-challenge",
    needs=(" or ".join(FILES),),
    pools=_pools,
)
