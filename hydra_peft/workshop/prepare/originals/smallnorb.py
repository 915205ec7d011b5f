"""SmallNORB: photographs of toys on a turntable; from which direction was one taken?

The files are no MATLAB files but matrices in a format of their own
(https://cs.nyu.edu/~ylclab/data/norb-v1.0-small/). Keys: tensorflow/datasets,
``datasets/smallnorb``; labels: google-research/task_adaptation, ``data/smallnorb.py``. torchvision
has no class for it.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np
from PIL import Image

from hydra_peft.errors import UserError
from hydra_peft.workshop.prepare.originals._base import Original, Pool, RemoteFile, Slice
from hydra_peft.workshop.prepare.originals._source import SourceFolder

_FILE = {
    "train": "smallnorb-5x46789x9x18x6x2x96x96-training-{kind}.mat",
    "test": "smallnorb-5x01235x9x18x6x2x96x96-testing-{kind}.mat",
}
_PAGE = "https://cs.nyu.edu/~ylclab/data/norb-v1.0-small/"
_DTYPES = {0x1E3D4C55: np.dtype("u1"), 0x1E3D4C54: np.dtype("<i4")}
_SIDE = 96
_PAIRS = 24_300
#: task to what it predicts: column of the info matrix, step between its values, number of classes
_LABELS = {"smallnorb_azim": (2, 2, 18), "smallnorb_elev": (1, 1, 9)}
_SLICES = {
    "train800": Slice("train"),
    "val200": Slice("test", 0, 50),
    "test": Slice("test", 50, 100),
}


def _remote(pool: str, kind: str, size: int, sha256: str) -> RemoteFile:
    name = f"{_FILE[pool].format(kind=kind)}.gz"
    return RemoteFile(name, _PAGE + name, size=size, sha256=sha256)


def _pools(source: SourceFolder, task: str) -> dict[str, Pool]:
    """Return train and test; the image is the first camera's, as RGB.

    Raises:
        UserError: a file is missing, truncated or of another format, counts differ, or a label
            is out of range.
    """
    return {pool: _pool(source, pool, task) for pool in _FILE}


def _pool(source: SourceFolder, pool: str, task: str) -> Pool:
    paths = {}
    for kind in ("dat", "info"):
        name = _FILE[pool].format(kind=kind)
        paths[kind] = source.file(name, archives=[f"{name}.gz"])
    pairs = _matrix(paths["dat"], np.dtype("u1"), (2, _SIDE, _SIDE))
    info = _matrix(paths["info"], np.dtype("<i4"), (4,))
    if len(pairs) != len(info):
        raise UserError(
            f"{paths['dat']} holds {len(pairs)} pairs of images and {paths['info']} {len(info)} "
            "rows: fetch both again."
        )

    source.expect_count(f"pairs in {paths['dat'].name}", len(pairs), _PAIRS)

    def image(index: int) -> Image.Image:
        return Image.fromarray(np.asarray(pairs[index, 0])).convert("RGB")

    return Pool(range(len(info)), _labels(info, task, paths["info"]), image)


def _labels(info: np.ndarray, task: str, path: Path) -> np.ndarray:
    column, step, classes = _LABELS[task]
    values = info[:, column].astype(np.int64)
    labels, rest = np.divmod(values, step)
    if (wrong := np.flatnonzero((labels < 0) | (labels >= classes) | (rest != 0))).size:
        raise UserError(
            f"{path}: row {wrong[0]}, column {column} is {values[wrong[0]]}, not one of 0, {step}, "
            f"..., {step * (classes - 1)}: fetch it again."
        )
    return labels


def _matrix(path: Path, dtype: np.dtype, row: tuple[int, ...]) -> np.ndarray:
    """Map a matrix file into memory: magic, number of axes, at least three lengths, the values."""
    size = path.stat().st_size
    with path.open("rb") as file:
        header = file.read(8 + 4 * max(3, 1 + len(row)))
    if len(header) < 8 + 4 * max(3, 1 + len(row)):
        raise UserError(f"{path} is cut off after {size} bytes: fetch or unpack it again.")
    magic, axes, *lengths = struct.unpack(f"<{len(header) // 4}i", header)
    shape = tuple(lengths[:axes]) if 0 < axes <= len(lengths) else ()
    if _DTYPES.get(magic) != dtype or shape[1:] != row or shape[0] < 1:
        raise UserError(
            f"{path} should be a SmallNORB matrix [n, {', '.join(map(str, row))}] of {dtype}, and "
            f"starts with magic {magic:#x}, {axes} axes, {lengths}: fetch it again."
        )
    if size != (expected := len(header) + math.prod(shape) * dtype.itemsize):
        raise UserError(
            f"{path} has {size} bytes where its header promises {expected}: fetch or unpack it "
            "again."
        )
    return np.memmap(path, dtype, mode="r", offset=len(header), shape=shape)


_FILES = (
    _remote(
        "train",
        "dat",
        size=131_896_188,
        sha256="5ffd6272a07d32695ee1082a26a41a93a37aab8c28da047f8c34ed348d214873",
    ),
    _remote(
        "train",
        "info",
        size=71_052,
        sha256="de7eb932ebe7a4ee16217fead60660d0eb3d23632c2f4d1c51f88c501c17bf32",
    ),
    _remote(
        "test",
        "dat",
        size=130_799_817,
        sha256="cf7104eed3e51174d2f65b66d1e5878b9da233b886f161b0d88f4510ba2c7474",
    ),
    _remote(
        "test",
        "info",
        size=10_428,
        sha256="16adf314226327ee006d1a44db8cfef52773c06c829951d5653a9f6f310248a2",
    ),
)
ORIGINAL = Original(
    name="SmallNORB",
    tasks=dict.fromkeys(_LABELS, _SLICES),
    # Sizes and sha256: tensorflow/datasets, datasets/smallnorb/checksums.tsv
    files=_FILES,
    page=_PAGE,
    needs=tuple(file.name for file in _FILES),
    pools=_pools,
)
