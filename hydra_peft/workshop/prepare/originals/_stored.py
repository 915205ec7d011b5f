"""An image as it is stored: no pixel is changed."""

from __future__ import annotations

import io

from PIL import Image

#: formats that PIL reads everywhere, and the ending of their files
ENDINGS = {
    "JPEG": "jpg",
    "MPO": "jpg",  # a JPEG with another one behind it; opened as JPEG
    "PNG": "png",
    "GIF": "gif",
    "BMP": "bmp",
    "PPM": "ppm",
    "TIFF": "tif",
    "WEBP": "webp",
}

_OPENED = [name for name in ENDINGS if name != "MPO"]


class NoImageError(ValueError):
    """Image that cannot be stored; the message is a reason, to go into a sentence."""


def stored(image: Image.Image | bytes) -> tuple[bytes, str]:
    """Return the bytes of a file and the ending of its name.

    Args:
        image: an image, which becomes a PNG; or the bytes of a file, which stay as they are.

    Raises:
        NoImageError: the bytes are no whole image of a known format, or PNG cannot hold the image.
    """
    if isinstance(image, bytes):
        return image, _ending(image)
    file = io.BytesIO()
    try:
        image.save(file, "PNG")
    except (OSError, ValueError, SystemError) as error:
        raise NoImageError(f"cannot be stored as PNG ({error})") from None
    return file.getvalue(), "png"


def _ending(content: bytes) -> str:
    try:
        with Image.open(io.BytesIO(content), formats=_OPENED) as image:
            ending = ENDINGS[image.format or ""]
            # A JPEG is then decoded at an eighth of its size, yet from all of its data.
            image.draft("RGB", (1, 1))
            image.load()
    except Exception as error:  # PIL has no common base for what a malformed file raises
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise NoImageError(f"is no whole image ({reason})") from None
    return ending
