"""dSprites: white shapes on black; where is one, and how is it turned?

Keys: tensorflow/datasets, ``datasets/dsprites``; labels: google-research/task_adaptation,
``data/dsprites.py``. torchvision has no class for it.
"""

from __future__ import annotations

from pathlib import Path
from threading import Lock

import numpy as np
from PIL import Image

from hydra_peft.errors import UserError
from hydra_peft.workshop.prepare.originals._base import Original, Pool, RemoteFile, one_pool
from hydra_peft.workshop.prepare.originals._hdf5 import Hdf5Array
from hydra_peft.workshop.prepare.originals._source import SourceFolder

_FILE = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.hdf5"
_URL = f"https://github.com/deepmind/dsprites-dataset/raw/master/{_FILE}"
_IMAGES = 737_280
_SIDE = 64
#: task to what it predicts: column of the latent classes, their number, number of labels
_LABELS = {"dsprites_loc": (4, 32, 16), "dsprites_ori": (3, 40, 16)}
_SLICES = one_pool(80, 90)


def _pools(source: SourceFolder, task: str) -> dict[str, Pool]:
    """Return the only pool, train; images are RGB.

    Raises:
        UserError: the file is missing, truncated or of another format, counts differ, or a
            latent class is out of range.
    """
    path = source.file(_FILE)
    sprites = Hdf5Array(path, "imgs", row=(_SIDE, _SIDE), most=_IMAGES, dtype="uint8")
    latents = Hdf5Array(path, "latents/classes", row=(6,), most=_IMAGES)
    if sprites.rows != latents.rows:
        raise UserError(
            f"{path} holds {sprites.rows} images and {latents.rows} rows of latent classes: "
            "fetch it again."
        )
    source.expect_count("images", sprites.rows, _IMAGES)
    images = _Sprites(sprites, path)
    return {"train": Pool(range(sprites.rows), _labels(latents, task, path), images.image)}


def _labels(latents: Hdf5Array, task: str, path: Path) -> np.ndarray:
    column, known, classes = _LABELS[task]
    values = latents[:, column].astype(np.int64)
    if (wrong := np.flatnonzero((values < 0) | (values >= known))).size:
        raise UserError(
            f"{path}: latent class {column} of image {wrong[0]} is {values[wrong[0]]}, not one of "
            f"0 to {known - 1}: fetch it again."
        )
    # floor(value / (known / classes)) in integers
    return values * classes // known


class _Sprites:
    """The images, one bit a pixel, unpacked from the file when the first is asked for.

    The published file is cut into chunks of 23,040 images by 2 x 4 pixels, so that reading one
    image unpacks 512 of them, and reading the 74,728 of a task in hashed order takes hours.
    Unpacked once they are 3 GB, or 378 MB as the bits that they are.
    """

    def __init__(self, sprites: Hdf5Array, path: Path) -> None:
        self._sprites = sprites
        self._path = path
        self._bits: np.ndarray | None = None
        self._lock = Lock()

    def image(self, index: int) -> Image.Image:
        """Return an image as RGB, its ones as 255."""
        with self._lock:
            if self._bits is None:
                self._bits = self._unpack()
        pixels = np.unpackbits(self._bits[index]).reshape(_SIDE, _SIDE) * np.uint8(255)
        return Image.fromarray(pixels).convert("RGB")

    def _unpack(self) -> np.ndarray:
        rows = self._sprites.rows
        bits = np.empty((rows, _SIDE * _SIDE // 8), np.uint8)
        # Whole chunks, so that each is unpacked once; a strange file may not fill the memory.
        step = min(self._sprites.chunk_rows or 4096, 32_768)
        for start in range(0, rows, step):
            block = self._sprites[start : start + step].reshape(-1, _SIDE * _SIDE)
            if (wrong := np.flatnonzero(block.max(axis=1) > 1)).size:
                raise UserError(
                    f"{self._path}: image {start + wrong[0]} has a pixel of "
                    f"{block[wrong[0]].max()}, not 0 or 1: fetch it again."
                )
            bits[start : start + step] = np.packbits(block, axis=1)
        return bits


ORIGINAL = Original(
    name="dSprites",
    tasks=dict.fromkeys(_LABELS, _SLICES),
    # Size and sha256: tensorflow/datasets, datasets/dsprites/checksums.tsv
    files=(
        RemoteFile(
            _FILE,
            _URL,
            size=28_024_106,
            sha256="729fa22e884c9c500e1f17415d580746b4c5894fbbb780a1319bbcfa39a745bb",
        ),
    ),
    page="https://github.com/google-deepmind/dsprites-dataset",
    needs=(_FILE,),
    pools=_pools,
)
