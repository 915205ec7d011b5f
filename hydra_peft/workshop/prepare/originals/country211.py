"""Country211: 63,300 photographs of 211 countries (Radford et al. 2021, from YFCC100M).

Not read through torchvision, whose class decodes the images instead of handing on their files.
"""

from __future__ import annotations

from hydra_peft.workshop.prepare.originals._base import TRAIN_AND_TEST, Original, Pool, RemoteFile
from hydra_peft.workshop.prepare.originals._class_keys import class_keys
from hydra_peft.workshop.prepare.originals._labelled_folders import folders_pool
from hydra_peft.workshop.prepare.originals._source import SourceFolder

ARCHIVE = "country211.tgz"
SIZES = {"train": 31_650, "test": 21_100}


def _pools(source: SourceFolder, task: str) -> dict[str, Pool]:
    """Return the pools ``train`` and ``test``; keys are ``<ISO code>/<file>``.

    Raises:
        UserError: a folder is missing, is no country's, or has no image.
    """
    classes = class_keys(task)
    pools = {}
    for split, published in SIZES.items():
        root = source.folder_or_file(f"country211/{split}", archives=[ARCHIVE])
        pools[split] = folders_pool(source, root, classes, published)
    return pools


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
    pools=_pools,
)
