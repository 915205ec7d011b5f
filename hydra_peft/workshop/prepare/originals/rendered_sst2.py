"""Rendered SST2: 9,613 sentences of film reviews as pictures (Radford et al. 2021).

Not read through torchvision, whose class decodes the images instead of handing on their files.
"""

from __future__ import annotations

from hydra_peft.workshop.prepare.originals._base import TRAIN_AND_TEST, Original, Pool, RemoteFile
from hydra_peft.workshop.prepare.originals._class_keys import class_keys
from hydra_peft.workshop.prepare.originals._labelled_folders import folders_pool
from hydra_peft.workshop.prepare.originals._source import SourceFolder

ARCHIVE = "rendered-sst2.tgz"
SIZES = {"train": 6_920, "test": 1_821}


def _pools(source: SourceFolder, task: str) -> dict[str, Pool]:
    """Return the pools ``train`` and ``test``; keys are ``<class>/<file>``.

    Raises:
        UserError: a folder is missing, is of no class, or has no image.
    """
    classes = class_keys(task)
    pools = {}
    for split, published in SIZES.items():
        root = source.folder_or_file(f"rendered-sst2/{split}", archives=[ARCHIVE])
        pools[split] = folders_pool(source, root, classes, published, suffix=".png")
    return pools


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
    pools=_pools,
)
