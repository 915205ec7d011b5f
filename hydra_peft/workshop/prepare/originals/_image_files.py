"""Encoded image files of an original, checked and kept as they are."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from hydra_peft.data.decoding import FORMATS
from hydra_peft.errors import UserError
from hydra_peft.files import no_ordinary_file
from hydra_peft.workshop.prepare.originals._base import Pool


def image_bytes(path: Path) -> bytes:
    """Return the bytes of the image file ``path``.

    Raises:
        UserError: it is missing, no ordinary file, or cannot be read.
    """
    try:
        # A pipe would never end; what is not there says so itself.
        if path.exists() and not path.is_file():
            raise UserError(f"the image {no_ordinary_file(path, 'fetch or unpack it again')}")
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read the image {path}: {error.strerror or error}.") from None


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


def png(path: Path) -> bytes:
    """Return the bytes of a PNG file, after a check of the checksums in it.

    They cover every byte up to the mark of the end, where decoding would accept a file that lacks
    its last bytes, and at times a damaged one.

    Raises:
        UserError: the file is missing, truncated, damaged or no PNG.
    """
    content = image_bytes(path)
    try:
        Image.open(io.BytesIO(content), formats=["PNG"]).verify()
    except Exception as error:  # PIL has no common base for what a malformed file raises
        raise UserError(
            f"{path} is not a whole PNG image ({error}): unpack the archive again."
        ) from None
    return content


def file_pool(
    folder: Path,
    names: Sequence[str],
    labels: Sequence[int] | Sequence[Sequence[bool]] | np.ndarray,
    *,
    keys: Sequence[str] | None = None,
    read: Callable[[Path], bytes] = photo,
    classes: Sequence[str] = (),
) -> Pool:
    """Return the pool of the files ``names`` in ``folder``, each stored as it is.

    Args:
        labels: of each file, or which of the classes it has.
        keys: of the examples; None takes the names.
        read: :func:`photo` or :func:`png`.
        classes: their names, by label.
    """
    return Pool(
        keys=names if keys is None else keys,
        labels=np.asarray(labels, dtype=bool if np.ndim(labels) > 1 else np.int64),
        image=lambda index: read(folder / names[index]),
        classes=classes,
    )
