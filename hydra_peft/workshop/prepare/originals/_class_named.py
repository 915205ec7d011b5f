"""Images in class folders whose file names begin with their class as well."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hydra_peft.errors import UserError
from hydra_peft.workshop.prepare.originals._base import Pool
from hydra_peft.workshop.prepare.originals._counts import expect_count
from hydra_peft.workshop.prepare.originals._labelled_folders import labelled_images
from hydra_peft.workshop.prepare.originals._photos import photo_pool
from hydra_peft.workshop.prepare.originals._source import SourceFolder


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
    expect_count(source, "images", len(images), published)
    return photo_pool(
        root,
        names=[image.path for image in images],
        keys=[f"{image.folder}_{image.file}" for image in images],
        labels=[image.label for image in images],
    )
