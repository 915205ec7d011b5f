"""PNG files, kept as they are."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from hydra_peft.errors import UserError
from hydra_peft.workshop.prepare.originals._base import Pool
from hydra_peft.workshop.prepare.originals._image_bytes import image_bytes


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


def png_pool(folder: Path, names: Sequence[str], labels: np.ndarray) -> Pool:
    """Return the pool of the PNG files ``names`` in ``folder``; the names are the keys."""
    return Pool(names, labels, lambda index: png(folder / names[index]))
