"""Images whose label is the name of the folder they lie in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra_peft.errors import UserError, did_you_mean
from hydra_peft.workshop.prepare.originals._base import Pool
from hydra_peft.workshop.prepare.originals._class_keys import class_keys
from hydra_peft.workshop.prepare.originals._image_files import file_pool
from hydra_peft.workshop.prepare.originals._source import SourceFolder

#: what names of images end with in tensorflow/datasets, unless it is told otherwise
SUFFIX = ".jpg"


@dataclass(frozen=True)
class Labelled:
    """An image file in its class's folder.

    Attributes:
        folder: the folder's name, as on disk.
        file: the file's name.
        label: position of the class in the list of classes.
    """

    folder: str
    file: str
    label: int

    @property
    def path(self) -> str:
        """Path below the folder of all classes."""
        return f"{self.folder}/{self.file}"


def class_label(
    folder: str, classes: Sequence[str], where: object, *, any_case: bool = False
) -> int:
    """Return the label of a class's folder.

    Args:
        folder: the folder's name.
        classes: names of all classes in the order of their labels.
        where: what names the folder, for messages.
        any_case: ``classes`` are in lower case, and the folder's case does not count.

    Raises:
        UserError: there is no such class.
    """
    name = folder.lower() if any_case else folder
    if name not in classes:
        raise UserError(
            f"{where}: '{folder}' is none of the {len(classes)} classes"
            f"{did_you_mean(name, classes)}: take it out or name it as it was published."
        )
    return classes.index(name)


def labelled_images(
    source: SourceFolder,
    root: Path,
    classes: Sequence[str],
    *,
    any_case: bool = False,
    suffix: str = SUFFIX,
) -> list[Labelled]:
    """Return all images below ``root``, by folder and file name in the order of code points.

    Hidden files are passed over. Files without the suffix and classes without a folder are left
    out with a note.

    Args:
        source: takes the notes.
        root: holds one folder a class.
        classes: names of all classes in the order of their labels.
        any_case: see :func:`class_label`.
        suffix: what an image's name ends with.

    Raises:
        UserError: ``root`` cannot be read, a folder is no class's or has no image, or a class has
            two folders.
    """
    try:
        folders = sorted(p.name for p in root.iterdir() if p.is_dir() and _visible(p.name))
    except OSError as error:
        raise UserError(f"cannot read the folder {root}: {error.strerror or error}.") from None
    labels = {f: class_label(f, classes, root, any_case=any_case) for f in folders}
    if len(set(labels.values())) < len(labels):
        raise UserError(
            f"{root} has two folders of one class, whose names differ in letter case only: "
            "unpack it again."
        )
    missing = [name for label, name in enumerate(classes) if label not in labels.values()]
    if missing:
        source.note(f"{source.name}: {root.name} has no folder of {', '.join(missing)}.")
    return [
        Labelled(folder, file, label)
        for folder, label in labels.items()
        for file in _images(source, root / folder, suffix)
    ]


def class_named_pool(
    source: SourceFolder, root: Path, classes: Sequence[str], published: int
) -> Pool:
    """Return all images ``<class>/<class>_<anything>.jpg`` below ``root`` as one pool.

    Keys are ``<class>_<file>``, so the class stands in them twice.

    Args:
        source: takes notes of what is missing.
        root: holds one folder a class.
        classes: names of all classes in the order of their labels.
        published: how many images there should be.

    Raises:
        UserError: a folder is no class's or has no image, or a file lies in another class's folder.
    """
    images = labelled_images(source, root, classes)
    for image in images:
        if not image.file.startswith(f"{image.folder}_"):
            raise UserError(
                f"{root / image.path} lies in the folder of another class than its name says: "
                "unpack the images again."
            )
    source.expect_count("images", len(images), published)
    return file_pool(
        root,
        [image.path for image in images],
        [image.label for image in images],
        keys=[f"{image.folder}_{image.file}" for image in images],
        classes=classes,
    )


def folders_pool(
    source: SourceFolder,
    root: Path,
    classes: Sequence[str],
    published: int,
    suffix: str = SUFFIX,
) -> Pool:
    """Return all images ``<class>/<file>`` below ``root`` as one pool; paths are the keys.

    Args:
        source: takes notes of what is missing.
        root: holds one folder a class.
        classes: names of all classes in the order of their labels.
        published: how many images there should be.
        suffix: what an image's name ends with.

    Raises:
        UserError: a folder is no class's, or has no image.
    """
    images = labelled_images(source, root, classes, suffix=suffix)
    source.expect_count(f"images in {root.name}", len(images), published)
    return file_pool(root, [one.path for one in images], [one.label for one in images])


def folders_pools(
    source: SourceFolder,
    task: str,
    *,
    folder: str,
    archive: str,
    sizes: Mapping[str, int],
    suffix: str = SUFFIX,
) -> dict[str, Pool]:
    """Return a pool for each folder ``<folder>/<split>``; keys are ``<class>/<file>``.

    Args:
        task: whose class keys the folders' names are.
        folder: what all of them lie in.
        archive: what that is unpacked from.
        sizes: how many images each split should have.
        suffix: what an image's name ends with.

    Raises:
        UserError: a folder is missing, is no class's, or has no image.
    """
    classes = class_keys(task)
    pools = {}
    for split, published in sizes.items():
        root = source.folder_or_file(f"{folder}/{split}", archives=[archive])
        pools[split] = folders_pool(source, root, classes, published, suffix=suffix)
    return pools


def _images(source: SourceFolder, folder: Path, suffix: str) -> list[str]:
    # Tables that lie beside the images, as GTSRB has them, are no odd files.
    files = sorted(p.name for p in folder.iterdir() if _visible(p.name) and p.suffix != ".csv")
    images = [name for name in files if name.endswith(suffix)]
    if not images:
        raise UserError(f"{folder} holds no {suffix} file: unpack it again.")
    if len(images) < len(files):
        others = [name for name in files if not name.endswith(suffix)]
        more = f" and {len(others) - 1:,} more" if len(others) > 1 else ""
        source.note(f"{source.name}: left out {folder.name}/{others[0]}{more}, no {suffix} files.")
    return images


def _visible(name: str) -> bool:
    return not name.startswith(".")
