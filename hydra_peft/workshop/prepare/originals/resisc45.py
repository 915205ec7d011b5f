"""NWPU-RESISC45: 31,500 scenes from above of 256x256 in 45 classes (Cheng et al. 2017).

Derivation as in tensorflow/datasets' ``resisc45``, which has no address of the data but a manual
download. torchvision has no class of it.
"""

from __future__ import annotations

from hydra_peft.workshop.prepare.originals._base import OfEachClass, Original, Pool, one_pool
from hydra_peft.workshop.prepare.originals._labelled_folders import class_named_pool
from hydra_peft.workshop.prepare.originals._source import SourceFolder

FOLDER = "NWPU-RESISC45"
SIZE = 31_500
#: alphabetical, as in tensorflow/datasets
_NAMES = (
    "airplane airport baseball_diamond basketball_court beach bridge chaparral church "
    "circular_farmland cloud commercial_area dense_residential desert forest freeway golf_course "
    "ground_track_field harbor industrial_area intersection island lake meadow medium_residential "
    "mobile_home_park mountain overpass palace parking_lot railway railway_station "
    "rectangular_farmland river roundabout runway sea_ice ship snowberg sparse_residential "
    "stadium storage_tank tennis_court terrace thermal_power_station wetland"
)
CLASSES = tuple(_NAMES.split())


def _pools(source: SourceFolder, task: str) -> dict[str, Pool]:  # noqa: ARG001
    """Return the pool ``train``; keys are ``<class>_<file>``, so the class stands twice.

    Raises:
        UserError: the folder is missing, or a folder or file is not of one of the classes.
    """
    # Of a .rar, unpacking says how to do it by hand.
    root = source.folder_or_file(FOLDER, archives=[f"{FOLDER}.rar", f"{FOLDER}.zip"])
    return {"train": class_named_pool(source, root, CLASSES, SIZE)}


ORIGINAL = Original(
    name="RESISC45",
    tasks={"resisc45": one_pool(60, 80)},
    # 10 and 80% of 700 images a class; CLIP has 10% to validate on (arXiv 2103.00020, Table 9).
    elevater={
        "resisc45": {
            "train": OfEachClass("train", 0, 70, of=700),
            "test": OfEachClass("train", 140, 700, of=700),
        }
    },
    files=(),
    page="https://www.tensorflow.org/datasets/catalog/resisc45",
    needs=(f"the folder {FOLDER}, unpacked from {FOLDER}.rar",),
    pools=_pools,
)
