"""GTSRB: German traffic signs in 43 classes (Stallkamp et al. 2012).

ELEVATER has the smaller training set of the competition's first stage, 26,640 images, and the final
test set. Not read through torchvision, whose class decodes the images instead of handing on their
files.
"""

from __future__ import annotations

from hydra_peft.workshop.prepare.originals._base import TRAIN_AND_TEST, Original, Pool, RemoteFile
from hydra_peft.workshop.prepare.originals._class_keys import class_keys
from hydra_peft.workshop.prepare.originals._image_files import file_pool
from hydra_peft.workshop.prepare.originals._labelled_folders import folders_pool
from hydra_peft.workshop.prepare.originals._listing import check_listing
from hydra_peft.workshop.prepare.originals._source import SourceFolder
from hydra_peft.workshop.prepare.originals._tables import column_of, read_table, whole_numbers

_URL = "https://sid.erda.dk/public/archives/daaeac0d7ce1152aea9b61d9f1e19370/"
TRAIN, TEST, TRUTH = (
    "GTSRB-Training_fixed.zip",
    "GTSRB_Final_Test_Images.zip",
    "GTSRB_Final_Test_GT.zip",
)
SIZES = {"train": 26_640, "test": 12_630}


def _pools(source: SourceFolder, task: str) -> dict[str, Pool]:
    """Return the pools ``train`` and ``test``; keys are ``<class>/<file>`` and file names.

    Raises:
        UserError: a folder or file is missing, or the table of test labels is malformed.
    """
    classes = [f"{int(key):05d}" for key in class_keys(task)]
    root = source.folder_or_file("GTSRB/Training", archives=[TRAIN])
    train = folders_pool(source, root, classes, SIZES["train"], suffix=".ppm")
    images = source.folder_or_file("GTSRB/Final_Test/Images", archives=[TEST])
    table = source.file("GT-final_test.csv", archives=[TRUTH])
    rows = read_table(table, delimiter=";")
    names = column_of(rows, table, "Filename")
    labels = whole_numbers(column_of(rows, table, "ClassId"), table, "ClassId", len(classes))
    check_listing(images, ".ppm", names, table)
    source.expect_count("test images", len(names), SIZES["test"])
    return {"train": train, "test": file_pool(images, names, labels)}


ORIGINAL = Original(
    name="GTSRB",
    tasks={},
    elevater={"gtsrb": TRAIN_AND_TEST},
    # URLs and MD5 sums: torchvision, gtsrb.py
    files=(
        RemoteFile(TRAIN, _URL + TRAIN, md5="513f3c79a4c5141765e10e952eaa2478"),
        RemoteFile(TEST, _URL + TEST, md5="c7e4e6327067d32654124b0fe9e82185"),
        RemoteFile(TRUTH, _URL + TRUTH, md5="fe31e9c9270bbcd7b84b7f21a9d9d9e5"),
    ),
    page="https://benchmark.ini.rub.de/gtsrb_dataset.html",
    needs=(f"{TRAIN}, {TEST} and {TRUTH}, or what is in them",),
    pools=_pools,
)
