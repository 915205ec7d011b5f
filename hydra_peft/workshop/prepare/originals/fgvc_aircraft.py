"""FGVC Aircraft 2013b: 10,000 photographs of aeroplanes in 100 variants (Maji et al. 2013).

ELEVATER trains on its training set alone, not on training and validation together. Not read through
torchvision, whose class decodes the images instead of handing on their files.
"""

from __future__ import annotations

from hydra_peft.workshop.prepare.originals._base import TRAIN_AND_TEST, Original, Pool, RemoteFile
from hydra_peft.workshop.prepare.originals._class_keys import class_keys
from hydra_peft.workshop.prepare.originals._listed_images import listed_pools
from hydra_peft.workshop.prepare.originals._source import SourceFolder
from hydra_peft.workshop.prepare.originals._text_lists import read_entries

FOLDER = "fgvc-aircraft-2013b"
ARCHIVE = f"{FOLDER}.tar.gz"
SIZES = {"train": 3_334, "test": 3_333}


def _pools(source: SourceFolder, task: str) -> dict[str, Pool]:
    """Return the pools ``train`` and ``test``; keys are like ``1025794.jpg``.

    Raises:
        UserError: a file is missing, a line is malformed, a variant is unknown, or an image is
            listed twice.
    """
    lists = {}
    for split in SIZES:
        path = source.file(f"{FOLDER}/data/images_variant_{split}.txt", archives=[ARCHIVE])
        lists[split] = read_entries(path, r"([0-9]{1,9}) (.+)", "<image> <variant>")
    images = lists["train"][0].listing.parent / "images"
    return listed_pools(source, lists, images, class_keys(task), SIZES)


ORIGINAL = Original(
    name="FGVC Aircraft",
    tasks={},
    elevater={"fgvc_aircraft": TRAIN_AND_TEST},
    # URL: torchvision, fgvc_aircraft.py; many public repositories restate the MD5
    files=(
        RemoteFile(
            ARCHIVE,
            f"https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/archives/{ARCHIVE}",
            md5="d4acdd33327262359767eeaa97a4f732",
        ),
    ),
    page="https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/",
    needs=(f"{ARCHIVE}, or from it the folder {FOLDER}",),
    pools=_pools,
)
