"""MNIST: 70,000 grey images of 28x28 of handwritten digits (LeCun et al. 1998).

Read from its IDX files, gzipped or not, as torchvision keeps them in ``MNIST/raw``.
"""

from __future__ import annotations

from functools import partial

from hydra_peft.workshop.prepare.originals._base import TRAIN_AND_TEST, Original, RemoteFile
from hydra_peft.workshop.prepare.originals._idx_images import idx_pools

#: of the plain content, which several publications state alike
SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
_MIRROR = "https://ossci-datasets.s3.amazonaws.com/mnist/"
#: MD5 of the gzipped files (torchvision, mnist.py)
_FILES = {
    "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
}


ORIGINAL = Original(
    name="MNIST",
    tasks={},
    elevater={"mnist": TRAIN_AND_TEST},
    files=tuple(RemoteFile(name, f"{_MIRROR}{name}", md5=md5) for name, md5 in _FILES.items()),
    page="http://yann.lecun.com/exdb/mnist/",
    needs=tuple(_FILES),
    pools=partial(idx_pools, folder="MNIST/raw", sha256=SHA256),
)
