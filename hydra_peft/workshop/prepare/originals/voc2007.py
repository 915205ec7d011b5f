"""PASCAL VOC 2007: which of 20 kinds of objects a photograph shows (Everingham et al. 2010).

Read from the lists of the classification task, one a class: ``1`` where it is shown, ``-1`` where
not, ``0`` where it is difficult to see. Whether ELEVATER's hub counts the difficult ones is not
published; here they count as not shown. Its training set is the published ``train``, without
``val``. Not read through torchvision, whose class decodes the images and has boxes, not lists.
"""

from __future__ import annotations

from hydra_peft.errors import UserError
from hydra_peft.workshop.prepare.originals._base import TRAIN_AND_TEST, Original, Pool, RemoteFile
from hydra_peft.workshop.prepare.originals._class_keys import class_keys
from hydra_peft.workshop.prepare.originals._image_files import file_pool
from hydra_peft.workshop.prepare.originals._listing import check_present
from hydra_peft.workshop.prepare.originals._source import SourceFolder
from hydra_peft.workshop.prepare.originals._text_lists import read_entries, refuse_repeats

_URL = "https://thor.robots.ox.ac.uk/pascal/VOC/voc2007/"
ARCHIVES = {"train": "VOCtrainval_06-Nov-2007.tar", "test": "VOCtest_06-Nov-2007.tar"}
FOLDER = "VOCdevkit/VOC2007"
SIZES = {"train": 2_501, "test": 4_952}


def _pools(source: SourceFolder, task: str) -> dict[str, Pool]:
    """Return the pools ``train`` and ``test``; keys are like ``000012.jpg``.

    Raises:
        UserError: a list or an image is missing, a line is malformed, or two lists are not of the
            same images.
    """
    source.note(f"{source.name}: objects that are marked as difficult count as not shown.")
    return {split: _pool(source, split, class_keys(task)) for split in SIZES}


def _pool(source: SourceFolder, split: str, classes: tuple[str, ...]) -> Pool:
    shown: dict[str, list[bool]] = {}
    for name in classes:
        path = source.file(
            f"{FOLDER}/ImageSets/Main/{name}_{split}.txt", archives=[ARCHIVES[split]]
        )
        entries = read_entries(path, r"([0-9]{6}) +(-1|0|1)", "<image> <1, 0 or -1>")
        refuse_repeats(entries)
        if shown and [entry.fields[0] for entry in entries] != list(shown):
            raise UserError(
                f"{path} lists other images than those of {classes[0]}: unpack {ARCHIVES[split]} "
                "again."
            )
        for entry in entries:
            shown.setdefault(entry.fields[0], []).append(entry.fields[1] == "1")
    images = path.parent.parent.parent / "JPEGImages"
    keys = [f"{name}.jpg" for name in shown]
    check_present(images, keys, path)
    source.expect_count(f"images of {split}", len(keys), SIZES[split])
    return file_pool(images, keys, list(shown.values()))


ORIGINAL = Original(
    name="PASCAL VOC 2007",
    tasks={},
    elevater={"voc2007": TRAIN_AND_TEST},
    # URLs and MD5 sums: torchvision, voc.py
    files=(
        RemoteFile(
            ARCHIVES["train"], _URL + ARCHIVES["train"], md5="c52e279531787c972589f7e41ab4ae64"
        ),
        RemoteFile(
            ARCHIVES["test"], _URL + ARCHIVES["test"], md5="b6e924de25625d8de591ea690078ad9f"
        ),
    ),
    page="http://host.robots.ox.ac.uk/pascal/VOC/voc2007/",
    needs=(f"{ARCHIVES['train']} and {ARCHIVES['test']}, or from them the folder {FOLDER}",),
    pools=_pools,
)
