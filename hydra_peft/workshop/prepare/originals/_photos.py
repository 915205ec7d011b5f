"""Photographs that lie in folders as encoded files, and are kept as they are."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from hydra_peft.data.decoding import FORMATS
from hydra_peft.errors import UserError
from hydra_peft.workshop.prepare.originals._base import Pool
from hydra_peft.workshop.prepare.originals._image_bytes import image_bytes


def photo(path: Path) -> bytes:
    """Return the bytes of an image file, after a check that PIL can decode all of it.

    The format is taken from the content, not from the name: several originals hold a few PNG, GIF
    or BMP files under names in ``.jpg``.

    Raises:
        UserError: the file is missing, truncated or no image.
    """
    content = image_bytes(path)
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            # A JPEG is then decoded at an eighth of its size, from all of its data.
            image.draft("RGB", (1, 1))
            image.load()
    except Exception as error:  # PIL has no common base for what a malformed file raises
        raise UserError(
            f"{path} is not a whole image ({error}): fetch or unpack it again."
        ) from None
    return content


def photo_pool(
    folder: Path, names: Sequence[str], keys: Sequence[str], labels: Sequence[int]
) -> Pool:
    """Return the pool of the files ``names`` in ``folder``, each stored as it is."""
    return Pool(
        keys=keys,
        labels=np.array(labels, dtype=np.int64),
        image=lambda index: photo(folder / names[index]),
    )


def check_present(folder: Path, names: Sequence[str], listing: Path) -> None:
    """Check that all files ``names`` are in ``folder``.

    Args:
        folder: where the images are.
        names: paths below it.
        listing: the file that lists them, for messages.

    Raises:
        UserError: one is missing.
    """
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        others = f" and {len(missing) - 1:,} more" if len(missing) > 1 else ""
        raise UserError(
            f"{folder} lacks {missing[0]}{others}, listed in {listing}: unpack the images again."
        )
