"""A contact sheet: a few images of each class side by side, to look at."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from hydra_peft.data.decoding import Encoded, read_image
from hydra_peft.errors import UserError
from hydra_peft.plain_text import in_one_line, shortened

#: pixels of a side of an image, of the gap around it, and of the column of names
_SIDE, _GAP, _NAMES = 96, 4, 150
#: a sheet with more rows is no longer looked at
MAX_CLASSES = 100


def contact_sheet(files: Mapping[str, Sequence[Encoded]], each: int = 8) -> bytes:
    """Return a PNG with a row for each class: its name, and ``each`` of its images.

    Images keep their proportions; those that cannot be read are left out.

    Args:
        files: of each class; of more than :data:`MAX_CLASSES` the first are shown.
    """
    shown = list(files.items())[:MAX_CLASSES]
    step = _SIDE + _GAP
    sheet = Image.new("RGB", (_NAMES + each * step + _GAP, len(shown) * step + _GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for row, (name, own) in enumerate(shown):
        top = _GAP + row * step
        label = shortened(in_one_line(name), 24).encode("latin-1", "replace").decode("latin-1")
        draw.text((_GAP, top + _SIDE // 2 - 6), label, fill="black")
        for column, small in enumerate(_small(own, each)):
            left = _NAMES + column * step
            sheet.paste(
                small, (left + (_SIDE - small.width) // 2, top + (_SIDE - small.height) // 2)
            )
    file = io.BytesIO()
    sheet.save(file, format="PNG")
    return file.getvalue()


def _small(files: Sequence[Encoded], each: int) -> list[Image.Image]:
    """Return ``each`` images spread over ``files``, in the size they have on the sheet."""
    places = np.linspace(0, len(files) - 1, min(each, len(files))).round().astype(int)
    found = []
    for place in places.tolist():
        try:
            image = read_image(files[place])
        except UserError:
            continue
        found.append(ImageOps.contain(Image.fromarray(image), (_SIDE, _SIDE)))
    return found
