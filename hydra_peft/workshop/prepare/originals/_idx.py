"""IDX files, the format of MNIST's kind: a big-endian header, then unsigned bytes.

Header: two zero bytes, the type (8: unsigned byte), the number of axes, and each axis as 32 bits
(yann.lecun.com/exdb/mnist, as torchvision's ``read_sn3_pascalvincent_tensor`` reads it).
"""

from __future__ import annotations

import gzip
import hashlib
import math
import zlib
from pathlib import Path

import numpy as np

from hydra_peft.errors import UserError

_UNSIGNED_BYTE = 8
#: no set of this kind has more (EMNIST: 814,255 images of 784 bytes)
_MOST_BYTES = 2**30


def read_idx(path: Path, axes: int) -> tuple[np.ndarray, str]:
    """Return an IDX file of unsigned bytes, gzipped or not, and the sha256 of its plain content.

    Args:
        axes: how many it must have.

    Raises:
        UserError: it is truncated, damaged, or not such a file.
    """
    content = _content(path)
    header = 4 + 4 * axes
    known = content[:4] == bytes([0, 0, _UNSIGNED_BYTE, axes]) and len(content) >= header
    shape = tuple(np.frombuffer(content[4:header], ">u4").tolist()) if known else ()
    if not known or len(content) != header + math.prod(shape):
        raise UserError(
            f"{path} is no IDX file of unsigned bytes with {axes} axes, or it is truncated: fetch "
            "it again."
        )
    values = np.frombuffer(content, np.uint8, offset=header).reshape(shape)
    return values, hashlib.sha256(content).hexdigest()


def _content(path: Path) -> bytes:
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"cannot read {path} ({reason}): fetch it again.") from None
    if len(content) > _MOST_BYTES:
        raise UserError(f"{path} has more than {_MOST_BYTES:,} bytes: it is not of an image set.")
    return content
