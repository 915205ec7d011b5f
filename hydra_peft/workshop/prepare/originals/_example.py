"""``tf.train.Example`` messages without TensorFlow or protobuf.

The messages are (tensorflow/tensorflow, ``tensorflow/core/example/{example,feature}.proto``)::

    Example   { Features features = 1; }
    Features  { map<string, Feature> feature = 1; }       an entry: { key = 1; value = 2; }
    Feature   { oneof { BytesList = 1; FloatList = 2; Int64List = 3; } }
    BytesList { repeated bytes value = 1; }
    Int64List { repeated int64 value = 1 [packed]; }

and the wire format is https://protobuf.dev/programming-guides/encoding. No length is believed
beyond the end of the message that holds it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import NamedTuple

_VARINT, _BYTES = 0, 2
_FIXED = {1: 8, 5: 4}  # wire type to bytes
_LONGEST_VARINT = 10


class MalformedError(ValueError):
    """The bytes are no ``tf.train.Example``."""


class Span(NamedTuple):
    """Position of a bytes value in the message."""

    start: int
    stop: int


#: the values of a feature: places of bytes, or integers
Feature = list[Span] | list[int]


def parse_example(message: bytes) -> dict[str, Feature]:
    """Return the features of a ``tf.train.Example`` by name; lists of floats come out empty.

    Raises:
        MalformedError: the message is none.
    """
    features: dict[str, Feature] = {}
    for _, example in _parts(message, Span(0, len(message)), (1,)):
        for _, entry in _parts(message, example, (1,)):
            name, value = "", Span(0, 0)
            for number, span in _parts(message, entry, (1, 2)):
                if number == 1:
                    name = message[span.start : span.stop].decode("utf-8", errors="replace")
                else:
                    value = span
            features[name] = _feature(message, value)
    return features


def _feature(message: bytes, feature: Span) -> Feature:
    values: Feature = []
    for number, span in _parts(message, feature, (1, 2, 3)):
        if number == 1:
            values = [value for _, value in _parts(message, span, (1,))]
        elif number == 3:
            values = list(_integers(message, span))
    return values


def _integers(message: bytes, int64_list: Span) -> Iterator[int]:
    for number, value in _fields(message, int64_list):
        if number != 1:
            continue
        if isinstance(value, int):
            yield _signed(value)
        elif isinstance(value, Span):
            place = value.start
            while place < value.stop:
                integer, place = _varint(message, place, value.stop)
                yield _signed(integer)
        else:
            raise MalformedError("an integer has the wrong type")


def _parts(message: bytes, span: Span, known: Collection[int]) -> Iterator[tuple[int, Span]]:
    """Yield number and place of the fields ``known``, all of which hold bytes."""
    for number, value in _fields(message, span):
        if number not in known:
            continue
        if not isinstance(value, Span):
            raise MalformedError(f"field {number} has the wrong type")
        yield number, value


def _fields(message: bytes, span: Span) -> Iterator[tuple[int, int | Span | None]]:
    """Yield number and value of each field of the message at ``span``; None for fixed lengths."""
    place, stop = span
    while place < stop:
        tag, place = _varint(message, place, stop)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, place = _varint(message, place, stop)
            yield number, value
            continue
        if kind == _BYTES:
            length, place = _varint(message, place, stop)
        elif kind in _FIXED:
            length = _FIXED[kind]
        else:
            raise MalformedError(f"wire type {kind} before byte {place}")
        if length > stop - place:
            raise MalformedError(f"a field of {length} bytes at byte {place} does not fit")
        yield number, Span(place, place + length) if kind == _BYTES else None
        place += length


def _varint(message: bytes, place: int, stop: int) -> tuple[int, int]:
    """Return the integer at ``place`` and the place after it."""
    value = 0
    for index in range(min(_LONGEST_VARINT, stop - place)):
        byte = message[place + index]
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, place + index + 1
    raise MalformedError(f"an integer at byte {place} has no end")


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value
