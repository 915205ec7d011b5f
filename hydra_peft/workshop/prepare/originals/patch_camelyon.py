"""PatchCamelyon: patches of lymph nodes, with a tumour in the centre or not.

Keys and layout: tensorflow/datasets, ``datasets/patch_camelyon``. Files and md5:
``torchvision.datasets.PCAM`` and https://github.com/basveeling/pcam; the class itself is not used,
because it wants the files unpacked in a folder ``pcam`` and opens one for every image.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from hydra_peft.errors import UserError
from hydra_peft.workshop.prepare.originals._base import (
    THREE_POOLS,
    TRAIN_AND_TEST,
    Original,
    Pool,
    RemoteFile,
)
from hydra_peft.workshop.prepare.originals._hdf5 import Hdf5Array
from hydra_peft.workshop.prepare.originals._source import SourceFolder

_FILE = "camelyonpatch_level_2_split_{split}_{kind}.h5"
#: pool to the word in file names and keys
_SPLITS = {"train": "train", "validation": "valid", "test": "test"}
_SIZES = {"train": 262_144, "valid": 32_768, "test": 32_768}
_SIDE = 96


def _remote(split: str, kind: str, md5: str, size: int, sha256: str) -> RemoteFile:
    name = f"{_FILE.format(split=split, kind=kind)}.gz"
    return RemoteFile(name, f"https://zenodo.org/records/2546921/files/{name}", md5, size, sha256)


def _pools(source: SourceFolder, task: str) -> dict[str, Pool]:  # noqa: ARG001
    """Return train, validation and test.

    Raises:
        UserError: a file is missing, truncated or of another format, counts differ, or a label
            is not 0 or 1.
    """
    return {pool: _pool(source, split) for pool, split in _SPLITS.items()}


def _pool(source: SourceFolder, split: str) -> Pool:
    paths = {}
    for kind in "xy":
        name = _FILE.format(split=split, kind=kind)
        paths[kind] = source.file(name, archives=[f"{name}.gz"])
    patches = Hdf5Array(paths["x"], "x", row=(_SIDE, _SIDE, 3), most=_SIZES[split], dtype="uint8")
    truth = Hdf5Array(paths["y"], "y", row=(1, 1, 1), most=_SIZES[split])
    if patches.rows != truth.rows:
        raise UserError(
            f"{paths['x']} holds {patches.rows} patches and {paths['y']} {truth.rows} labels: "
            "fetch both again."
        )
    source.expect_count(f"patches in {paths['x'].name}", patches.rows, _SIZES[split])
    labels = truth[:].reshape(-1).astype(np.int64)
    if (wrong := np.flatnonzero((labels < 0) | (labels > 1))).size:
        raise UserError(
            f"{paths['y']}: label {wrong[0]} is {labels[wrong[0]]}, not 0 or 1: fetch it again."
        )
    keys = [f"{split}_{index}" for index in range(len(labels))]
    return Pool(keys, labels, lambda index: Image.fromarray(patches[index]))


_FILES = (
    _remote(
        "train",
        "x",
        md5="1571f514728f59376b705fc836ff4b63",
        size=6_421_353_462,
        sha256="d619e741468a7ab35c7e4a75e6821b7e7e6c9411705d45708f2a0efc8960656c",
    ),
    _remote(
        "train",
        "y",
        md5="35c2d7259d906cfc8143347bb8e05be7",
        size=21_378,
        sha256="b74126d2c01b20d3661f9b46765d29cf4e4fba6faba29c8e0d09d406331ab75a",
    ),
    _remote(
        "valid",
        "x",
        md5="d5b63470df7cfa627aeec8b9dc0c066e",
        size=805_965_320,
        sha256="f82ee1670d027b4ec388048d9eabc2186b77c009655dae76d624c0ecb053ccb2",
    ),
    _remote(
        "valid",
        "y",
        md5="2b85f58b927af9964a4c15b8f7e8f179",
        size=3_038,
        sha256="ce1ae30f08feb468447971cfd0472e7becd0ad96d877c64120c72571439ae48c",
    ),
    _remote(
        "test",
        "x",
        md5="d8c2d60d490dbd479f8199bdfa0cf6ec",
        size=800_875_929,
        sha256="79174c2201ad521602a5888be8f36ee10875f37403dd3f2086caf2182ef87245",
    ),
    _remote(
        "test",
        "y",
        md5="60a7035772fbdb7f34eb86d4420cf66a",
        size=3_040,
        sha256="0a522005fccc8bbd04c5a117bfaf81d8da2676f03a29d7499f71d0a0bd6068ef",
    ),
)
ORIGINAL = Original(
    name="PatchCamelyon",
    tasks={"patch_camelyon": THREE_POOLS},
    elevater={"patch_camelyon": TRAIN_AND_TEST},
    # Sizes and sha256: tensorflow/datasets, datasets/patch_camelyon/checksums.tsv
    files=_FILES,
    page="https://github.com/basveeling/pcam",
    needs=tuple(file.name for file in _FILES),
    pools=_pools,
)
