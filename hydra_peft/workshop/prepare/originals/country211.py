"""Country211: 63,300 photographs of 211 countries (Radford et al. 2021, from YFCC100M).

Not read through torchvision, whose class decodes the images instead of handing on their files.
"""

from __future__ import annotations

from functools import partial

from hydra_peft.workshop.prepare.originals._base import TRAIN_AND_TEST, Original, RemoteFile
from hydra_peft.workshop.prepare.originals._labelled_folders import folders_pools

ARCHIVE = "country211.tgz"
SIZES = {"train": 31_650, "test": 21_100}


ORIGINAL = Original(
    name="Country211",
    tasks={},
    elevater={"country211": TRAIN_AND_TEST},
    # URL and MD5: torchvision, country211.py
    files=(
        RemoteFile(
            ARCHIVE,
            "https://openaipublic.azureedge.net/clip/data/country211.tgz",
            md5="84988d7644798601126c29e9877aab6a",
        ),
    ),
    page="https://github.com/openai/CLIP/blob/main/data/country211.md",
    needs=(f"{ARCHIVE}, or from it the folder country211",),
    pools=partial(folders_pools, folder="country211", archive=ARCHIVE, sizes=SIZES),
)
