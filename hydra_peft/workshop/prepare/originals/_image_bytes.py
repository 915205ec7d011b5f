"""Reading of one image file of an original."""

from __future__ import annotations

from pathlib import Path

from hydra_peft.errors import UserError


def image_bytes(path: Path) -> bytes:
    """Return the bytes of the image file ``path``.

    Raises:
        UserError: it is missing, no ordinary file, or cannot be read.
    """
    try:
        # A pipe would never end; what is not there says so itself.
        if path.exists() and not path.is_file():
            raise UserError(f"the image {path} is no ordinary file: fetch or unpack it again.")
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read the image {path}: {error.strerror or error}.") from None
