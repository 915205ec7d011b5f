"""DTD: 5,640 textures in 47 classes (Cimpoi et al. 2014), first of its ten partitions.

Derivation as in tensorflow/datasets' ``dtd``. Not read through torchvision, whose class decodes the
images instead of handing on their files, and wants its own folder around the archive's.
"""

from __future__ import annotations

from hydra_peft.workshop.prepare.originals._base import (
    THREE_POOLS,
    TRAIN_AND_TEST,
    Original,
    Pool,
    RemoteFile,
)
from hydra_peft.workshop.prepare.originals._listed_images import listed_pools
from hydra_peft.workshop.prepare.originals._source import SourceFolder
from hydra_peft.workshop.prepare.originals._text_lists import NAME, Entry, read_entries

ARCHIVE = "dtd-r1.0.1.tar.gz"
LISTS = {"train": "train1.txt", "validation": "val1.txt", "test": "test1.txt"}
SIZE = 1_880
#: alphabetical, as tensorflow/datasets' dtd_key_attributes.txt
_NAMES = (
    "banded blotchy braided bubbly bumpy chequered cobwebbed cracked crosshatched crystalline "
    "dotted fibrous flecked freckled frilly gauzy grid grooved honeycombed interlaced knitted "
    "lacelike lined marbled matted meshed paisley perforated pitted pleated polka-dotted porous "
    "potholed scaly smeared spiralled sprinkled stained stratified striped studded swirly veined "
    "waffled woven wrinkled zigzagged"
)
CLASSES = tuple(_NAMES.split())


def _pools(source: SourceFolder, task: str) -> dict[str, Pool]:  # noqa: ARG001
    """Return the pools ``train``, ``validation`` and ``test``; keys are ``<class>/<file>``.

    Raises:
        UserError: a file is missing, a line is malformed, or an image is listed twice.
    """
    lists = {split: _entries(source, name) for split, name in LISTS.items()}
    images = lists["train"][0].listing.parent.parent / "images"
    return listed_pools(source, lists, images, CLASSES, dict.fromkeys(LISTS, SIZE), names=CLASSES)


def _entries(source: SourceFolder, name: str) -> list[Entry]:
    path = source.file(f"dtd/labels/{name}", f"labels/{name}", archives=[ARCHIVE])
    return read_entries(path, rf"(({NAME})/{NAME})\.jpg", "<class>/<file>.jpg")


ORIGINAL = Original(
    name="DTD",
    tasks={"dtd": THREE_POOLS},
    elevater={"dtd": TRAIN_AND_TEST},
    # URL and MD5: torchvision, dtd.py; size and sha256: tensorflow/datasets, url_checksums/dtd.txt
    files=(
        RemoteFile(
            ARCHIVE,
            "https://www.robots.ox.ac.uk/~vgg/data/dtd/download/dtd-r1.0.1.tar.gz",
            md5="fff73e5086ae6bdbea199a49dfb8a4c1",
            size=625_239_812,
            sha256="e42855a52a4950a3b59612834602aa253914755c95b0cff9ead6d07395f8e205",
        ),
    ),
    page="https://www.robots.ox.ac.uk/~vgg/data/dtd/",
    needs=(f"{ARCHIVE}, or from it the folder dtd",),
    pools=_pools,
)
