"""Food-101: 101,000 photographs of dishes in 101 classes (Bossard et al. 2014).

Not read through torchvision, whose class decodes the images instead of handing on their files.
"""

from __future__ import annotations

from hydra_peft.workshop.prepare.originals._base import TRAIN_AND_TEST, Original, Pool, RemoteFile
from hydra_peft.workshop.prepare.originals._class_keys import class_keys
from hydra_peft.workshop.prepare.originals._listed_images import listed_pools
from hydra_peft.workshop.prepare.originals._source import SourceFolder
from hydra_peft.workshop.prepare.originals._text_lists import NAME, read_entries

FOLDER = "food-101"
ARCHIVE = f"{FOLDER}.tar.gz"
SIZES = {"train": 75_750, "test": 25_250}


def _pools(source: SourceFolder, task: str) -> dict[str, Pool]:
    """Return the pools ``train`` and ``test``; keys are like ``apple_pie/1005649.jpg``.

    Raises:
        UserError: a file is missing, a line is malformed, a class is unknown, or an image is listed
            twice.
    """
    lists = {}
    for split in SIZES:
        path = source.file(f"{FOLDER}/meta/{split}.txt", archives=[ARCHIVE])
        lists[split] = read_entries(path, rf"(({NAME})/{NAME})", "<class>/<image>")
    images = lists["train"][0].listing.parent.parent / "images"
    return listed_pools(source, lists, images, class_keys(task), SIZES)


ORIGINAL = Original(
    name="Food-101",
    tasks={},
    elevater={"food101": TRAIN_AND_TEST},
    # URL and MD5: torchvision, food101.py
    files=(
        RemoteFile(
            ARCHIVE,
            f"http://data.vision.ee.ethz.ch/cvl/{ARCHIVE}",
            md5="85eeb15f3717b99a5da872d97d918f87",
        ),
    ),
    page="https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101/",
    needs=(f"{ARCHIVE}, or from it the folder {FOLDER}",),
    pools=_pools,
)
