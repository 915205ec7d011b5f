"""CIFAR-10: 60,000 images of 32x32 in 10 classes (Krizhevsky 2009).

Read from the binary release. Not read through torchvision, whose class unpickles the Python
release.
"""

from __future__ import annotations

from functools import partial

from hydra_peft.workshop.prepare.originals._base import TRAIN_AND_TEST, Original, RemoteFile
from hydra_peft.workshop.prepare.originals._cifar_binary import cifar_pools

ARCHIVE = "cifar-10-binary.tar.gz"
FOLDER = "cifar-10-batches-bin"
FILES = {
    "train": [f"data_batch_{number}.bin" for number in range(1, 6)],
    "test": ["test_batch.bin"],
}


ORIGINAL = Original(
    name="CIFAR-10",
    tasks={},
    elevater={"cifar10": TRAIN_AND_TEST},
    # The MD5 is stated on the data's page; size and sha256: tensorflow/datasets,
    # url_checksums/cifar10.txt
    files=(
        RemoteFile(
            ARCHIVE,
            "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
            md5="c32a1d4ab5d03f1284b67883e8d87530",
            size=170_052_171,
            sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        ),
    ),
    page="https://www.cs.toronto.edu/~kriz/cifar.html",
    needs=(f"{ARCHIVE}, or from it the folder {FOLDER}",),
    pools=partial(cifar_pools, folder=FOLDER, archive=ARCHIVE, files=FILES, labels={"label": 10}),
)
