import itertools
import os
import random
import struct

import pytest
from originals_expected import refused
from originals_tfrecord import (
    bytes_feature,
    crc32c,
    example,
    field,
    float_feature,
    int64_feature,
    masked,
    record,
    varint,
)

from hydra_peft.workshop.prepare.originals import _crc32c
from hydra_peft.workshop.prepare.originals._example import MalformedError, Span, parse_example
from hydra_peft.workshop.prepare.originals._tfrecord import records


@pytest.mark.parametrize(
    ("data", "crc"),
    [  # RFC 3720, appendix B.4, and the customary check value
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
        (b"123456789", 0xE3069283),
        (b"", 0),
    ],
)
def test_published_checksums(data, crc):
    assert _crc32c.crc32c(data) == crc


def test_checksums_of_all_lengths_around_the_blocks():
    data = random.Random(0).randbytes(2 * 65536 + 10)
    around = (0, 256, 512, 65536, 2 * 65536)
    lengths = {max(0, n + d) for n in around for d in range(-5, 6)} | set(range(40))
    # The reference goes on from one length to the next: one pass for all of them.
    state, done = 0xFFFFFFFF, 0
    for length in sorted(lengths):
        for byte in data[done:length]:
            state ^= byte
            for _ in range(8):
                state = (state >> 1) ^ (0x82F63B78 if state & 1 else 0)
        done = length
        assert _crc32c.crc32c(data[:length]) == state ^ 0xFFFFFFFF, length
    assert crc32c(data[:300]) == _crc32c.crc32c(memoryview(data)[:300])


def test_reads_what_tensorboard_writes(tmp_path):
    writer_module = pytest.importorskip("tensorboard.summary.writer.record_writer")
    contents = [b"", b"a", os.urandom(1000), os.urandom(70_000)]
    path = tmp_path / "x.tfrecord"
    with path.open("wb") as file:
        writer = writer_module.RecordWriter(file)
        for content in contents:
            writer.write(content)
        writer.flush()
        content = path.read_bytes()
        found = list(records(path))
    assert [data for _, data in found] == contents
    for place, data in found:
        assert content[place : place + len(data)] == data


def test_an_empty_file_has_no_records(tmp_path):
    (tmp_path / "x").write_bytes(b"")
    assert list(records(tmp_path / "x")) == []


def test_every_truncation_is_told(tmp_path):
    whole = record(b"first") + record(b"second one")
    path = tmp_path / "x.tfrecord"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        if length == len(record(b"first")) or length == 0:
            continue
        number = int(length > len(record(b"first")))
        refused(lambda: list(records(path)), path, f"record {number}", "again")


def test_every_flipped_bit_is_told(tmp_path):
    whole = record(b"first") + record(b"second one")
    path = tmp_path / "x.tfrecord"
    for place, bit in itertools.product(range(len(whole)), (0, 7)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << bit
        path.write_bytes(damaged)
        refused(lambda: list(records(path)), path, "checksum", "again")


def test_a_length_beyond_the_file_is_not_allocated(tmp_path):
    length = struct.pack("<Q", 2**62)
    crc = record(b"")[8:12]
    path = tmp_path / "x.tfrecord"
    path.write_bytes(length + crc + bytes(40))
    refused(lambda: list(records(path)), path, "checksum of its length")
    path.write_bytes(length + masked(length) + bytes(40))
    refused(lambda: list(records(path)), path, str(2**62), "ends before")


def values(message, name):
    found = parse_example(message)[name]
    return [message[v.start : v.stop] if isinstance(v, Span) else v for v in found]


@pytest.mark.parametrize("packed", [True, False])
def test_features_of_all_kinds(packed):
    integers = (0, 1, 127, 128, 300, -1, 2**63 - 1, -(2**63))
    message = example(
        image=bytes_feature(b"\xff\xd8" + bytes(300)),
        names=bytes_feature(b"a", b"", b"c" * 200),
        numbers=int64_feature(*integers, packed=packed),
        weights=float_feature(1.5, 2.5),
        nothing=b"",
    )
    assert values(message, "image") == [b"\xff\xd8" + bytes(300)]
    assert values(message, "names") == [b"a", b"", b"c" * 200]
    assert values(message, "numbers") == list(integers)
    assert values(message, "weights") == []
    assert values(message, "nothing") == []


def test_protobuf_writes_what_is_read():
    descriptor_pb2 = pytest.importorskip("google.protobuf.descriptor_pb2")
    message = _example_class(descriptor_pb2)()
    message.features.feature["image"].bytes_list.value.append(b"x" * 500)
    message.features.feature["label"].int64_list.value.extend([5, -7])
    message.features.feature["weight"].float_list.value.append(0.5)
    content = message.SerializeToString()
    assert values(content, "image") == [b"x" * 500]
    assert values(content, "label") == [5, -7]
    assert set(parse_example(content)) == {"image", "label", "weight"}


def _example_class(descriptor_pb2):
    from google.protobuf import descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="x.proto", package="x", syntax="proto3")
    one, many = 1, 3

    def message(name, into=file.message_type):
        return into.add(name=name)

    def add(made, name, number, label, kind, type_name=None):
        made.field.add(name=name, number=number, label=label, type=kind, type_name=type_name)

    for name, kind in (("BytesList", 12), ("FloatList", 2), ("Int64List", 3)):
        add(message(name), "value", 1, many, kind)
    feature = message("Feature")
    for number, kind in enumerate(("bytes", "float", "int64"), start=1):
        type_name = f".x.{kind.capitalize()}List"
        add(feature, f"{kind}_list", number, one, 11, type_name)
    features = message("Features")
    entry = message("FeatureEntry", into=features.nested_type)
    entry.options.map_entry = True
    add(entry, "key", 1, one, 9)
    add(entry, "value", 2, one, 11, ".x.Feature")
    add(features, "feature", 1, many, 11, ".x.Features.FeatureEntry")
    add(message("Example"), "features", 1, one, 11, ".x.Features")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("x.Example"))


def test_unknown_fields_are_passed_over():
    unknown = varint(9 * 8) + varint(7) + varint(10 * 8 + 1) + bytes(8)
    unknown += varint(11 * 8 + 5) + bytes(4) + field(12, b"abc")
    entry = unknown + field(1, b"label") + unknown + field(2, unknown + int64_feature(3))
    message = unknown + field(1, unknown + field(1, entry)) + unknown
    assert values(message, "label") == [3]


@pytest.mark.parametrize(
    "message",
    [
        b"\x0a\x05abc",  # longer than the message
        b"\x0a" + b"\xff" * 9 + b"\x01",  # 2**64 - 1 bytes
        b"\x0a" + b"\xff" * 11,  # an integer without an end
        b"\x0b\x0c",  # a group
        b"\x0f",  # no such type
        b"\x08\x01",  # features as an integer
        b"\x09\x00",  # eight bytes, of which one is there
        field(1, field(1, field(1, b"a") + field(2, field(3, varint(13) + bytes(4))))),
    ],
)
def test_malformed_messages(message):
    with pytest.raises(MalformedError):
        parse_example(message)


def test_any_bytes_are_parsed_or_refused():
    rng = random.Random(3)
    whole = example(image=bytes_feature(bytes(50)), label=int64_feature(1, 300), f=b"")
    refused = 0
    for _ in range(3000):
        message = bytearray(whole[: rng.randrange(len(whole) + 1)])
        for _ in range(rng.randrange(3)):
            if message:
                message[rng.randrange(len(message))] = rng.randrange(256)
        try:
            for found in parse_example(bytes(message)).values():
                for value in found:
                    assert isinstance(value, int) or 0 <= value.start <= value.stop <= len(message)
        except MalformedError:
            refused += 1
    assert refused > 1000
