"""Reading a folder of images that has a folder for each class, or such for each split.

No torch is loaded and no image is read.
"""

from __future__ import annotations

import os
from pathlib import Path

from hydra_peft.data.list_files import ImageList
from hydra_peft.data.own_data import (
    SPLIT_NAMES,
    OwnData,
    is_hidden,
    is_image,
    listed_files,
)
from hydra_peft.errors import UserError
from hydra_peft.links import missing

LINEAGE = "folder"


def read_folder(root: Path) -> OwnData:
    """Return the images below ``root`` and their classes, in the order of their names.

    As torchvision's ``ImageFolder`` orders them: labels count the classes' names in order. Hidden
    files and folders are passed over.

    Raises:
        UserError: no such folder, or it is laid out otherwise: the message says how and where.
    """
    if not root.is_dir():
        raise UserError(
            f"dataset.root={missing(root, 'is no folder')}: it must be the folder of your images, "
            "of an earlier run where they were then (a link will do)."
        )
    splits = _splits(root)
    found = {name: _classes(folder) for name, folder in splits.items()}
    names = tuple(sorted({name for classes in found.values() for name in classes}))
    label = {name: number for number, name in enumerate(names)}
    given = {}
    for split, classes in found.items():
        prefix = "" if splits[split] == root else f"{splits[split].name}/"
        pairs = [(f"{prefix}{c}/{f}", label[c]) for c, files in classes.items() for f in files]
        given[split] = ImageList([path for path, _ in pairs], [number for _, number in pairs])
    return listed_files(root, root, names, given, LINEAGE)


def _splits(root: Path) -> dict[str, Path]:
    """Return the folder of each split; that of train is the root where there are no others."""
    folders, files = _content(root)
    known = {name: SPLIT_NAMES[name.lower()] for name in folders if name.lower() in SPLIT_NAMES}
    # A class may be called train, too: then images lie in it.
    known = {name: split for name, split in known.items() if _content(root / name)[0]}
    if not folders:
        raise UserError(
            f"{root} has no folder of a class"
            + (f" but images, such as {image}" if (image := _first_image(files)) else "")
            + ": put the images of each class into a folder that has its name."
        )
    if known and (other := [name for name in folders if name not in known]):
        raise UserError(
            f"{root} has '{other[0]}' beside {', '.join(known)}: a folder of splits has nothing "
            "but train, val and test in it, each with the classes' folders."
        )
    if twice := [n for n in known if list(known.values()).count(known[n]) > 1]:
        raise UserError(f"{root} has {' and '.join(twice)}, which are the same split: join them.")
    return {split: root / name for name, split in known.items()} or {"train": root}


def _classes(folder: Path) -> dict[str, list[str]]:
    """Return the image files of each class, names and files in order."""
    names, files = _content(folder)
    if image := _first_image(files):
        raise UserError(
            f"{folder / image} lies beside the folders of the classes: move it into that of its "
            "class."
        )
    if not names:
        raise UserError(f"{folder} has no folder of a class: put images there, or remove it.")
    return {name: _images(folder / name) for name in names}


def _images(folder: Path) -> list[str]:
    folders, files = _content(folder)
    if folders:
        raise UserError(
            f"{folder / folders[0]} is a folder within the folder of a class: the images of a "
            "class lie directly in its one folder; move them up, or set dataset.root to the folder "
            "above the classes."
        )
    for name in files:
        if not is_image(name):
            raise UserError(
                f"{folder / name} is no image by its name: move it out of the folder of the class."
            )
    if not files:
        raise UserError(f"{folder} is empty: put images of its class there, or remove it.")
    return files


def _content(folder: Path) -> tuple[list[str], list[str]]:
    """Return the names of folders and of other files in ``folder``, in order."""
    try:
        with os.scandir(folder) as entries:
            found = sorted((e.name, e.is_dir()) for e in entries if not is_hidden(e.name))
    except OSError as error:
        raise UserError(f"cannot read the folder {folder}: {error.strerror or error}.") from None
    return [name for name, is_dir in found if is_dir], [n for n, is_dir in found if not is_dir]


def _first_image(files: list[str]) -> str | None:
    return next((name for name in files if is_image(name)), None)
