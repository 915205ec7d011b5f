"""ELPV: 2,624 grey photographs, 300x300, of cells of solar modules by electroluminescence.

Each has a probability of a defect (0, 1/3, 2/3 or 1) and the type of its cell, mono- or
polycrystalline (Buerhop-Lutz et al. 2018; Deitsch et al. 2019). Read from the wheel of the package
elpv-dataset 1.0.0.post1, or from ``elpv_dataset/data`` where it is installed or unpacked. The
images are CC BY-NC-SA 4.0: they are never part of this repository.

It has no split of its own. VTAB's way of originals with one pool is taken: in hashed order, the
first 800 of the first 31%, the first 200 of the next 8%, and all of the rest. Cells of one module
may thus be in two splits.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from hydra_peft.errors import UserError
from hydra_peft.workshop.prepare.originals._base import Original, Pool, one_pool
from hydra_peft.workshop.prepare.originals._image_files import image_bytes
from hydra_peft.workshop.prepare.originals._source import SourceFolder

WHEEL = "elpv_dataset-1.0.0.post1-py3-none-any.whl"
IMAGES = 2624
#: of labels.csv in the wheel
SHA256 = "0abe6fe7700aea571717d7d7dfec005a47c6207b4cde26a4556b6807a115483d"
#: labels.csv has them as Python prints them
DEFECT = {"0.0": 0, "0.3333333333333333": 1, "0.6666666666666666": 2, "1.0": 3}
TYPE = {"mono": 0, "poly": 1}


def _pools(source: SourceFolder, task: str) -> dict[str, Pool]:
    """Return the one pool ``train``; keys are the names in ``labels.csv``.

    Raises:
        UserError: a file is missing, or a line of ``labels.csv`` is not of the original's form.
    """
    path = source.file("elpv_dataset/data/labels.csv", "labels.csv", archives=[WHEEL])
    lines = path.read_bytes()
    source.expect_sha256("labels.csv", hashlib.sha256(lines).hexdigest(), SHA256)
    rows = [line.split() for line in lines.decode("utf-8", "replace").splitlines() if line.strip()]
    names, labels = [], []
    for number, row in enumerate(rows, 1):
        known = len(row) == 3 and row[1] in DEFECT and row[2] in TYPE
        if not known or not _is_inside(row[0]):
            raise UserError(
                f"{path}, line {number}: expected a path below images/, a defect probability of "
                f"{', '.join(DEFECT)}, and mono or poly; found {' '.join(row)[:100]!r}."
            )
        names.append(row[0])
        labels.append(DEFECT[row[1]] if task == "elpv" else TYPE[row[2]])
    source.expect_count("images", len(names), IMAGES)

    def image(index: int) -> bytes:
        return image_bytes(path.parent / names[index])

    return {"train": Pool(names, np.array(labels, np.int64), image)}


def _is_inside(name: str) -> bool:
    path = Path(name)
    return path.parts[:1] == ("images",) and len(path.parts) == 2 and path.parts[1] != ".."


ORIGINAL = Original(
    name="ELPV",
    tasks=dict.fromkeys(("elpv", "elpv_type"), one_pool(31, 39)),
    files=(),
    page="https://github.com/zae-bayern/elpv-dataset (CC BY-NC-SA 4.0), or pip download --no-deps "
    "elpv-dataset==1.0.0.post1 -d elpv and give source=elpv",
    needs=(f"{WHEEL}, or from it the folder elpv_dataset",),
    pools=_pools,
)
