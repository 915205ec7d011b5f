"""Image files to arrays, and arrays to the size a model takes."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
from PIL import Image, UnidentifiedImageError

from hydra_peft.cores import usable_cores
from hydra_peft.errors import UserError, reason_of

if TYPE_CHECKING:
    from hydra_peft.data.split import Images  # loads torch

In = TypeVar("In")
Out = TypeVar("Out")


class Encoded(Protocol):
    """Image as it is stored: a file's path, or a row of a table. As text it says where it is."""

    def read_bytes(self) -> bytes:
        """Return the encoded image."""
        ...


#: what was done to an image between its file and a cache of decoded images
TRANSFORM = "RGB, PIL bicubic, aspect ignored"

#: of files that others made; to read Encapsulated PostScript, PIL would run Ghostscript on it
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM")


#: what is to be done about an image of a prepared task that cannot be read
_ADVICE = "fetch or prepare it again, scripts/check_data.py finds every such file"


def image_endings() -> frozenset[str]:
    """Return how names of files in :data:`FORMATS` end: ``.jpg``, ``.png`` and others."""
    known = Image.registered_extensions()
    return frozenset(ending for ending, form in known.items() if form in FORMATS)


def open_image(stored: Encoded) -> Image.Image:
    """Return the image as PIL opens it, not decoded yet; a context manager."""
    if not isinstance(stored, Path):
        return Image.open(BytesIO(stored.read_bytes()), formats=FORMATS)
    if not stat.S_ISREG(os.stat(stored).st_mode):  # opening a pipe would wait for a writer
        raise OSError("it is no ordinary file")
    return Image.open(stored, formats=FORMATS)


def read_image(stored: Encoded, advice: str = _ADVICE) -> np.ndarray:
    """Return an image as PIL opens it and converts it to RGB, uint8 ``[h, w, 3]``.

    EXIF orientation is not applied, a palette or CMYK image is converted, 16-bit gray is clipped:
    what ``Image.open(path).convert("RGB")`` gives, which is what the field's loaders do. Its format
    is one of :data:`FORMATS`, whatever its name.

    Args:
        stored: a file's path, or a row of a table.
        advice: what the message says is to be done about an image that cannot be read.

    Raises:
        UserError: the image is missing, truncated or no image.
    """
    try:
        with open_image(stored) as image:
            return np.asarray(image.convert("RGB"))
    # PIL's decoders raise a dozen kinds: OSError, SyntaxError, struct.error, DecompressionBombError
    except Exception as error:
        raise UserError(f"cannot read the image {stored}: {_reason(error)}; {advice}.") from None


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, UnidentifiedImageError):
        return f"it is damaged, or none of {', '.join(FORMATS)}"
    return reason_of(error)


def resize(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize uint8 ``[h, w, 3]`` to ``[*size, 3]``: PIL bicubic, aspect ignored.

    Bit-equal to ``torchvision.transforms.Resize(size, BICUBIC)`` on the PIL image.
    """
    if pixels.shape[:2] == size:
        return pixels
    height, width = size
    resized = Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(resized)


def decode(images: Images, start: int, stop: int, size: tuple[int, int]) -> np.ndarray:
    """Return images ``start`` to ``stop`` as uint8 ``[stop - start, *size, 3]``.

    Raises:
        UserError: one of them cannot be read.
    """
    out = np.empty((stop - start, *size, 3), dtype=np.uint8)
    for row, index in enumerate(range(start, stop)):
        out[row] = resize(images.pixels(index), size)
    return out


def in_threads(work: Callable[[In], Out], items: Iterable[In]) -> Iterator[tuple[In, Out]]:
    """Yield ``(item, work(item))`` in order, computed by one thread a core, few items ahead.

    PIL decodes and resizes outside Python's lock, so threads are as good as processes, and a
    thread needs no second copy of torch. The first error stops the rest and is raised.
    """
    workers = usable_cores()
    todo = iter(items)
    with ThreadPoolExecutor(workers) as pool:
        running: list[tuple[In, Future[Out]]] = []
        try:
            while True:
                fresh = list(islice(todo, 2 * workers - len(running)))
                running += [(item, pool.submit(work, item)) for item in fresh]
                if not running:
                    return
                item, future = running.pop(0)
                yield item, future.result()
        finally:
            for _, future in running:
                future.cancel()
