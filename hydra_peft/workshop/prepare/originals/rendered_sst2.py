"""Rendered SST2: 9,613 sentences of film reviews as pictures (Radford et al. 2021).

Not read through torchvision, whose class decodes the images instead of handing on their files.
"""

from __future__ import annotations

from functools import partial

from hydra_peft.workshop.prepare.originals._base import TRAIN_AND_TEST, Original, RemoteFile
from hydra_peft.workshop.prepare.originals._labelled_folders import folders_pools

ARCHIVE = "rendered-sst2.tgz"
SIZES = {"train": 6_920, "test": 1_821}


ORIGINAL = Original(
    name="Rendered SST2",
    tasks={},
    elevater={"rendered_sst2": TRAIN_AND_TEST},
    # URL and MD5: torchvision, rendered_sst2.py
    files=(
        RemoteFile(
            ARCHIVE,
            "https://openaipublic.azureedge.net/clip/data/rendered-sst2.tgz",
            md5="2384d08e9dcfa4bd55b324e610496ee5",
        ),
    ),
    page="https://github.com/openai/CLIP/blob/main/data/rendered-sst2.md",
    needs=(f"{ARCHIVE}, or from it the folder rendered-sst2",),
    pools=partial(
        folders_pools, folder="rendered-sst2", archive=ARCHIVE, sizes=SIZES, suffix=".png"
    ),
)
