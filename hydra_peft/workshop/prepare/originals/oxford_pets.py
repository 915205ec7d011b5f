"""Oxford-IIIT Pets: 7,349 photographs of 37 breeds (Parkhi et al. 2012).

Derivation as in tensorflow/datasets' ``oxford_iiit_pet`` 3.x, which hands on the files as they are
(some are PNG under names in ``.jpg``); 4.0.0 encodes a dozen damaged ones anew, and is not what
VTAB takes. Not read through torchvision, whose class decodes the images and wants its own folder
around them.
"""

from __future__ import annotations

from pathlib import Path

from hydra_peft.errors import UserError
from hydra_peft.workshop.prepare.originals._base import (
    TRAIN_AND_TEST,
    Original,
    Pool,
    RemoteFile,
    two_pools,
)
from hydra_peft.workshop.prepare.originals._image_files import file_pool
from hydra_peft.workshop.prepare.originals._listing import check_present
from hydra_peft.workshop.prepare.originals._source import SourceFolder
from hydra_peft.workshop.prepare.originals._text_lists import (
    NAME,
    Entry,
    read_entries,
    refuse_repeats,
)

FOLDER = "https://www.robots.ox.ac.uk/~vgg/data/pets/data/"
LISTS = {"train": "trainval.txt", "test": "test.txt"}
SIZES = {"train": 3_680, "test": 3_669}
CLASSES = 37


def _pools(source: SourceFolder, task: str) -> dict[str, Pool]:  # noqa: ARG001
    """Return the pools ``train`` (published as trainval) and ``test``; keys are file names.

    Raises:
        UserError: a file is missing, a line is malformed, a class id is out of range, a breed
            has two class ids, or an image is listed twice.
    """
    lists = {split: _entries(source, name) for split, name in LISTS.items()}
    every = [entry for entries in lists.values() for entry in entries]
    refuse_repeats(every)
    breeds = _breeds(every)
    images = _images(source, every)
    pools = {}
    for split, entries in lists.items():
        keys = [f"{entry.fields[0]}.jpg" for entry in entries]
        labels = [int(entry.fields[1]) - 1 for entry in entries]
        check_present(images, keys, entries[0].listing)
        source.expect_count(f"images in {LISTS[split]}", len(keys), SIZES[split])
        pools[split] = file_pool(images, keys, labels, classes=breeds)
    return pools


def _entries(source: SourceFolder, name: str) -> list[Entry]:
    path = source.file(f"annotations/{name}", archives=["annotations.tar.gz"])
    return read_entries(
        path,
        rf"({NAME}) ([0-9]{{1,9}}) ([12]) ([0-9]{{1,9}})",
        "<image> <class id> <species> <breed id>",
    )


def _breeds(entries: list[Entry]) -> list[str]:
    """Return the breed of each class id that is there, in the ids' order, from the images' names.

    Raises:
        UserError: an id is out of range, or a breed has two.
    """
    first: dict[str, Entry] = {}
    for entry in entries:
        image, number = entry.fields[:2]
        if not 1 <= int(number) <= CLASSES:
            raise UserError(
                f"{entry}: '{image}' has the class id {number}, not one of 1 to {CLASSES}: fetch "
                "annotations.tar.gz again."
            )
        # An image is named <breed>_<number>.
        before = first.setdefault(image.rpartition("_")[0], entry)
        if before.fields[1] != number:
            raise UserError(
                f"{entry}: '{image}' has the class id {number}, but '{before.fields[0]}' of the "
                f"same breed has {before.fields[1]} in {before}: fetch annotations.tar.gz again."
            )
    return sorted(first, key=lambda breed: int(first[breed].fields[1]))


def _images(source: SourceFolder, entries: list[Entry]) -> Path:
    # Other originals have a folder of this name too: ours holds the images that are listed.
    some = [f"images/{entry.fields[0]}.jpg" for entry in (entries[0], entries[-1])]
    return source.folder_or_file(*some, archives=["images.tar.gz"]).parent


ORIGINAL = Original(
    name="Oxford-IIIT Pets",
    tasks={"oxford_pets": two_pools(80)},
    elevater={"oxford_pets": TRAIN_AND_TEST},
    # URLs and MD5 sums: torchvision, oxford_iiit_pet.py; sizes and sha256: tensorflow/datasets,
    # url_checksums/oxford_iiit_pet.txt
    files=(
        RemoteFile(
            "images.tar.gz",
            FOLDER + "images.tar.gz",
            md5="5c4f3ee8e5d25df40f4fd59a7f44e54c",
            size=791_918_971,
            sha256="67195c5e1c01f1ab5f9b6a5d22b8c27a580d896ece458917e61d459337fa318d",
        ),
        RemoteFile(
            "annotations.tar.gz",
            FOLDER + "annotations.tar.gz",
            md5="95a8c909bbe2e81eed6a22bccdf3f68f",
            size=19_173_078,
            sha256="52425fb6de5c424942b7626b428656fcbd798db970a937df61750c0f1d358e91",
        ),
    ),
    page="https://www.robots.ox.ac.uk/~vgg/data/pets/",
    needs=(
        "images.tar.gz and annotations.tar.gz, or from them the folders images and annotations",
    ),
    pools=_pools,
)
