"""CIFAR-100: 60,000 images of 32x32 in 100 classes (Krizhevsky 2009).

Read from the binary release, as tensorflow/datasets does (``image_classification/cifar.py``): each
record is a coarse label, a fine label and 3,072 bytes of red, green and blue planes. Not read
through torchvision, whose class unpickles the Python release.
"""

from __future__ import annotations

from functools import partial

from hydra_peft.workshop.prepare.originals._base import (
    TRAIN_AND_TEST,
    Original,
    RemoteFile,
    two_pools,
)
from hydra_peft.workshop.prepare.originals._cifar_binary import cifar_pools

ARCHIVE = "cifar-100-binary.tar.gz"
FOLDER = "cifar-100-binary"
FILES = {"train": ["train.bin"], "test": ["test.bin"]}
LABELS = {"coarse label": 20, "fine label": 100}


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
    needs=(f"{ARCHIVE}, or from it the folder {FOLDER}",),
    pools=partial(cifar_pools, folder=FOLDER, archive=ARCHIVE, files=FILES, labels=LABELS),
)
