"""CIFAR-100: 60,000 images of 32x32 in 100 classes (Krizhevsky 2009).

Read from the binary release, as tensorflow/datasets does (``image_classification/cifar.py``): each
record is a coarse label, a fine label and 3,072 bytes of red, green and blue planes. Not read
through torchvision, whose class unpickles the Python release.
"""

from __future__ import annotations

from hydra_peft.workshop.prepare.originals._base import (
    TRAIN_AND_TEST,
    Original,
    Pool,
    RemoteFile,
    two_pools,
)
from hydra_peft.workshop.prepare.originals._cifar_binary import cifar_pool
from hydra_peft.workshop.prepare.originals._source import SourceFolder

ARCHIVE = "cifar-100-binary.tar.gz"
LABELS = {"coarse label": 20, "fine label": 100}
SIZES = {"train": 50_000, "test": 10_000}


def _pools(source: SourceFolder, task: str) -> dict[str, Pool]:  # noqa: ARG001
    """Return the pools ``train`` and ``test``; keys are positions in the file.

    Raises:
        UserError: a file is missing or truncated, or a label is out of range.
    """
    return {split: _pool(source, split) for split in SIZES}


def _pool(source: SourceFolder, split: str) -> Pool:
    path = source.file(f"cifar-100-binary/{split}.bin", f"{split}.bin", archives=[ARCHIVE])
    pool = cifar_pool([path], LABELS, ARCHIVE)
    source.expect_count(f"records in {path.name}", len(pool.keys), SIZES[split])
    return pool


ORIGINAL = Original(
    name="CIFAR-100",
    tasks={"cifar100": two_pools(90)},
    elevater={"cifar100": TRAIN_AND_TEST},
    # The MD5 is restated by many public repositories (the data's page was not opened); size and
    # sha256: tensorflow/datasets, url_checksums/cifar100.txt
    files=(
        RemoteFile(
            ARCHIVE,
            "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
            md5="03b5dce01913d631647c71ecec9e9cb8",
            size=168_513_733,
            sha256="58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
        ),
    ),
    page="https://www.cs.toronto.edu/~kriz/cifar.html",
    needs=(f"{ARCHIVE}, or from it the folder cifar-100-binary",),
    pools=_pools,
)
