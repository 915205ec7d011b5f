"""SVHN: house numbers cut to digits of 32x32 (Netzer et al. 2011).

Derivation as in tensorflow/datasets' ``svhn_cropped``. Not read through torchvision, whose class
takes nothing but the two files whose MD5 it knows and says of all others "not found or corrupted".
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from hydra_peft.errors import UserError
from hydra_peft.workshop.prepare.originals._base import Original, Pool, RemoteFile, two_pools
from hydra_peft.workshop.prepare.originals._matlab import read_arrays
from hydra_peft.workshop.prepare.originals._source import SourceFolder

FOLDER = "http://ufldl.stanford.edu/housenumbers/"
SIDE = 32
SIZES = {"train": 73_257, "test": 26_032}


def _pools(source: SourceFolder, task: str) -> dict[str, Pool]:  # noqa: ARG001
    """Return the pools ``train`` and ``test``; keys are positions in the file.

    The files are compressed as a whole, so their 225 and 80 MB of pixels are in memory.

    Raises:
        UserError: a file is missing or not in the original format, or a label is out of range.
    """
    return {split: _pool(source, split) for split in SIZES}


def _pool(source: SourceFolder, split: str) -> Pool:
    path = source.file(f"{split}_32x32.mat")
    pixels, labels = _read(path)
    source.expect_count(f"digits in {path.name}", len(labels), SIZES[split])

    def image(index: int) -> Image.Image:
        return Image.fromarray(np.ascontiguousarray(pixels[..., index]))

    return Pool(range(len(labels)), labels, image)


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels, uint8 ``[32, 32, 3, n]``, and labels 0 to 9, int64 ``[n]``."""
    arrays = read_arrays(path, ["X", "y"])
    pixels, digits = arrays["X"], arrays["y"].reshape(-1)
    if pixels.ndim != 4 or pixels.shape[:3] != (SIDE, SIDE, 3) or pixels.dtype != np.uint8:
        raise UserError(
            f"{path}: X is {'x'.join(map(str, pixels.shape))} of {pixels.dtype}, not 32x32x3xN of "
            "uint8: it is another file than the original, fetch it again."
        )
    if pixels.shape[3] != len(digits):
        raise UserError(
            f"{path} has {pixels.shape[3]:,} images in X and {len(digits):,} labels in y: fetch it "
            "again."
        )
    wrong = np.flatnonzero(~np.isin(digits, range(1, 11)))
    if len(wrong):
        raise UserError(
            f"{path}: label {wrong[0]} in y is {digits[wrong[0]]}, not one of 1 to 10: fetch it "
            "again."
        )
    # The digit 0 is stored as 10.
    return pixels, digits.astype(np.int64) % 10


ORIGINAL = Original(
    name="SVHN",
    tasks={"svhn": two_pools(90)},
    # MD5 sums: torchvision, svhn.py; sizes and sha256: tensorflow/datasets,
    # url_checksums/svhn_cropped.txt
    files=(
        RemoteFile(
            "train_32x32.mat",
            FOLDER + "train_32x32.mat",
            md5="e26dedcc434d2e4c54c9b2d4a06d8373",
            size=182_040_794,
            sha256="435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8",
        ),
        RemoteFile(
            "test_32x32.mat",
            FOLDER + "test_32x32.mat",
            md5="eb5a983be6a315427106f1b164d9cef3",
            size=64_275_384,
            sha256="cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b",
        ),
    ),
    page=FOLDER,
    needs=("train_32x32.mat", "test_32x32.mat"),
    pools=_pools,
)
