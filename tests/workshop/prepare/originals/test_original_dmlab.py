import hashlib
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from originals_expected import expected_order, prepared, refused, source_of
from originals_tfrecord import bytes_feature, example, field, int64_feature, record
from PIL import Image

from hydra_peft.workshop.prepare.originals.dmlab import ORIGINAL

SIZES = {"train": 13, "validation": 9, "test": 7}


def jpeg(seed: int) -> bytes:
    pixels = np.random.RandomState(seed).randint(0, 256, (6, 8, 3)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()


def frames(pool: str) -> list[tuple[bytes, bytes, int]]:
    """Key, image and label of each record; a key has bytes that are no UTF-8, and a backslash."""
    return [
        (f"{pool}\\{i:03d}".encode() + b"\xff.png", jpeg(100 * len(pool) + i), (5 * i + 1) % 6)
        for i in range(SIZES[pool])
    ]


def message(key: bytes, image: bytes, label: int) -> bytes:
    return example(
        image=bytes_feature(image), filename=bytes_feature(key), label=int64_feature(label)
    )


def write(path: Path, of: list[tuple[bytes, bytes, int]]) -> None:
    path.write_bytes(b"".join(record(message(*frame)) for frame in of))


def write_all(folder: Path) -> None:
    """Train in three shards, the others in one file each."""
    train = frames("train")
    for shard, part in enumerate((train[:4], train[4:5], train[5:])):
        write(folder / f"dmlab-train.tfrecord-{shard:05d}-of-00003", part)
    write(folder / "dmlab-validation.tfrecord", frames("validation"))
    write(folder / "dmlab-test.tfrecord-00000-of-00001", frames("test"))


def check(folder: Path) -> None:
    splits = prepared(ORIGINAL, "dmlab", folder)
    for split, pool, size in (
        ("train800", "train", 4),
        ("val200", "validation", 3),
        ("test", "test", 7),
    ):
        of = frames(pool)
        # bytes are hashed as they are: the backslash stays
        order = expected_order([key for key, _, _ in of], pool)[:size]
        assert splits[split].keys == [of[i][0] for i in order]
        assert splits[split].images == [of[i][1] for i in order]
        assert splits[split].labels == [of[i][2] for i in order]


def test_members_order_labels_and_bytes(tmp_path):
    write_all(tmp_path)
    check(tmp_path)
    source = source_of(ORIGINAL, tmp_path)
    ORIGINAL.pools(source, "dmlab")
    assert len(source.used) == 5
    assert any("13 train images" in note and "65,550" in note for note in source.notes)


@pytest.mark.parametrize("top", ["", "dmlab/"])
def test_the_archive_is_unpacked(tmp_path, top):
    inner = tmp_path / "inner"
    inner.mkdir()
    write_all(inner)
    outer = tmp_path / "outer"
    outer.mkdir()
    with tarfile.open(outer / "dmlab.tar.gz", "w:gz") as archive:
        for path in sorted(inner.iterdir()):
            archive.add(path, f"{top}{path.name}")
    check(outer)
    source = source_of(ORIGINAL, outer)
    ORIGINAL.pools(source, "dmlab")
    assert outer / "dmlab.tar.gz" in source.used


def pools(folder):
    return ORIGINAL.pools(source_of(ORIGINAL, folder), "dmlab")


def test_missing_files(tmp_path):
    write_all(tmp_path)
    (tmp_path / "dmlab-validation.tfrecord").unlink()
    refused(lambda: pools(tmp_path), "dmlab-validation.tfrecord*", "dmlab.tar.gz")


@pytest.mark.parametrize("shard", [0, 1, 2])
def test_missing_shard(tmp_path, shard):
    write_all(tmp_path)
    name = f"dmlab-train.tfrecord-{shard:05d}-of-00003"
    (tmp_path / name).unlink()
    refused(lambda: pools(tmp_path), f"{tmp_path / name} is missing")


@pytest.mark.parametrize(
    "name", ["dmlab-train.tfrecord", "dmlab-train.tfrecord-00000-of-00002", "dmlab-test.tfrecord~"]
)
def test_files_of_two_sets(tmp_path, name):
    write_all(tmp_path)
    (tmp_path / name).write_bytes(b"")
    refused(lambda: pools(tmp_path), "dmlab-t", "one file", "all shards")


def test_an_absurd_number_of_shards(tmp_path):
    write_all(tmp_path)
    (tmp_path / "dmlab-test.tfrecord-00000-of-00001").rename(
        tmp_path / "dmlab-test.tfrecord-00000-of-99999"
    )
    refused(lambda: pools(tmp_path), "missing", "-00001-of-99999")


def test_truncated_shard(tmp_path):
    write_all(tmp_path)
    path = tmp_path / "dmlab-train.tfrecord-00002-of-00003"
    path.write_bytes(path.read_bytes()[:-1])
    refused(lambda: pools(tmp_path), path, "record 7", "again")


def test_empty_file(tmp_path):
    write_all(tmp_path)
    path = tmp_path / "dmlab-validation.tfrecord"
    path.write_bytes(b"")
    refused(lambda: pools(tmp_path), path, "empty")


def test_flipped_bit_in_an_image(tmp_path):
    write_all(tmp_path)
    path = tmp_path / "dmlab-validation.tfrecord"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    refused(lambda: pools(tmp_path), path, "checksum", "again")


KEY, IMAGE = b"k.png", jpeg(0)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (message(KEY, IMAGE, 6), "label should be 0 to 5"),
        (message(KEY, IMAGE, -1), "label should be 0 to 5"),
        (message(KEY, b"\x89PNG" + IMAGE, 1), "no JPEG"),
        (message(KEY, b"", 1), "no JPEG"),
        (example(image=bytes_feature(IMAGE), filename=bytes_feature(KEY)), "0 values of 'label'"),
        (example(image=bytes_feature(IMAGE), label=int64_feature(1)), "0 values of 'filename'"),
        (
            example(
                image=bytes_feature(IMAGE, IMAGE),
                filename=bytes_feature(KEY),
                label=int64_feature(1),
            ),
            "2 values of 'image'",
        ),
        (
            example(image=bytes_feature(IMAGE), filename=int64_feature(1), label=int64_feature(1)),
            "filename",
        ),
        (
            example(
                image=bytes_feature(IMAGE), filename=bytes_feature(KEY), label=bytes_feature(b"1")
            ),
            "label",
        ),
        (field(1, b"\x0a\x7fabc"), "does not fit"),
        (b"", "0 values of 'image'"),
    ],
)
def test_malformed_records(tmp_path, data, words):
    write_all(tmp_path)
    path = tmp_path / "dmlab-validation.tfrecord"
    path.write_bytes(path.read_bytes() + record(data))
    refused(lambda: pools(tmp_path), f"record 9 of {path}", words)


def test_a_key_twice(tmp_path):
    write_all(tmp_path)
    write(tmp_path / "dmlab-test.tfrecord-00000-of-00001", [*frames("test"), frames("test")[2]])
    refused(lambda: prepared(ORIGINAL, "dmlab", tmp_path), "test\\\\002", "twice")


def test_a_file_that_changes_meanwhile(tmp_path):
    write_all(tmp_path)
    found = pools(tmp_path)["validation"]
    path = tmp_path / "dmlab-validation.tfrecord"
    path.write_bytes(path.read_bytes()[:100])
    refused(lambda: found.image(8), path, "shorter")
    path.unlink()
    refused(lambda: found.image(8), path)


def test_order_by_bytes_of_the_key(tmp_path):
    # spelt out: md5(b"test" + key), without the rule that turns backslashes of strings
    write_all(tmp_path)
    keys = prepared(ORIGINAL, "dmlab", tmp_path)["test"].keys
    digests = [hashlib.md5(b"test" + key).digest() for key in keys]
    assert digests == sorted(digests)
