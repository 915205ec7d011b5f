"""TFRecord files without TensorFlow.

A file is a run of records, each: length (uint64, little-endian), masked CRC-32C of those eight
bytes (uint32), data, masked CRC-32C of the data (uint32). Source: tensorflow/tensorflow,
``tensorflow/core/lib/io/record_writer.h`` and ``tensorflow/core/lib/hash/crc32c.h``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from hydra_peft.errors import UserError
from hydra_peft.workshop.prepare.originals._crc32c import crc32c

_LENGTH = struct.Struct("<Q")
_CRC = struct.Struct("<I")
_HEADER = _LENGTH.size + _CRC.size


def records(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the place of each record's data in the file, and the data, one record at a time.

    Raises:
        UserError: the file cannot be read or ends within a record, or a checksum is wrong.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            place = 0
            number = 0
            while place < size:
                data = _record(file, size - place, f"record {number} of {path}")
                yield place + _HEADER, data
                place += _HEADER + len(data) + _CRC.size
                number += 1
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}.") from None


def _record(file: BinaryIO, left: int, name: str) -> bytes:
    """Read the record that starts here, of a file with ``left`` more bytes."""
    header = file.read(_HEADER)
    length = _LENGTH.unpack_from(header)[0] if len(header) == _HEADER else 0
    if left < _HEADER + _CRC.size:
        raise UserError(f"{name} is cut off after {left} bytes: fetch the file again.")
    if _CRC.unpack_from(header, _LENGTH.size)[0] != _masked(header[: _LENGTH.size]):
        raise UserError(
            f"{name}: the checksum of its length is wrong, so this is damaged or no TFRecord "
            "file: fetch it again."
        )
    # Only now is the length to be trusted, and only as far as the file goes.
    if length > left - _HEADER - _CRC.size:
        raise UserError(
            f"{name} should have {length} bytes, and the file ends before: fetch it again."
        )
    data = file.read(length)
    trailer = file.read(_CRC.size)
    if len(trailer) != _CRC.size or _CRC.unpack(trailer)[0] != _masked(data):
        raise UserError(f"{name}: the checksum of its data is wrong: fetch the file again.")
    return data


def _masked(data: bytes) -> int:
    """CRC-32C, rotated right by 15 bits plus a constant, as TFRecord stores it."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
