"""EuroSAT: 27,000 Sentinel-2 images of 64x64 in ten kinds of land use (Helber et al. 2019), RGB.

Derivation as in tensorflow/datasets' ``eurosat/rgb``. Not read through torchvision, whose class
decodes the images instead of handing on their files.
"""

from __future__ import annotations

from hydra_peft.workshop.prepare.originals._base import (
    OfEachClass,
    Original,
    Pool,
    RemoteFile,
    one_pool,
)
from hydra_peft.workshop.prepare.originals._labelled_folders import class_named_pool
from hydra_peft.workshop.prepare.originals._source import SourceFolder

ARCHIVE = "EuroSAT.zip"
SIZE = 27_000
_NAMES = (
    "AnnualCrop Forest HerbaceousVegetation Highway Industrial Pasture PermanentCrop Residential "
    "River SeaLake"
)
CLASSES = tuple(_NAMES.split())


def _pools(source: SourceFolder, task: str) -> dict[str, Pool]:  # noqa: ARG001
    """Return the pool ``train``; keys are ``<class>_<file>``, so the class stands twice.

    Raises:
        UserError: the folder is missing, or a folder or file is not of one of the classes.
    """
    root = source.folder_or_file("2750", archives=[ARCHIVE])
    return {"train": class_named_pool(source, root, CLASSES, SIZE)}


ORIGINAL = Original(
    name="EuroSAT",
    tasks={"eurosat": one_pool(60, 80)},
    # 500 images a class each; CLIP has as many to validate on (arXiv 2103.00020, Table 9).
    elevater={
        "eurosat": {
            "train": OfEachClass("train", 0, 500, of=2000),  # of the smallest class
            "test": OfEachClass("train", 1000, 1500, of=2000),
        }
    },
    # URL and MD5: torchvision, eurosat.py; size and sha256: tensorflow/datasets,
    # url_checksums/eurosat.txt, of the same file at its first address
    files=(
        RemoteFile(
            ARCHIVE,
            "https://huggingface.co/datasets/torchgeo/eurosat/resolve/"
            "c877bcd43f099cd0196738f714544e355477f3fd/EuroSAT.zip",
            md5="c8fa014336c82ac7804f0398fcb19387",
            size=94_280_567,
            sha256="8ebea626349354c5328b142b96d0430e647051f26efc2dc974c843f25ecf70bd",
        ),
    ),
    page="https://github.com/phelber/eurosat",
    needs=(f"{ARCHIVE}, or from it the folder 2750",),
    pools=_pools,
)
