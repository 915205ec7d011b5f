import struct
import tarfile

import numpy as np
import pytest
from originals_expected import keys_of, prepare, refused, source_of, tfds_order

from hydra_peft.workshop.prepare.originals._order import select
from hydra_peft.workshop.prepare.originals.cifar100 import ORIGINAL

LIMITS = {"train800": 20, "val200": 4, "test": None}


def record(coarse, fine, pixels):
    return struct.pack("2B3072s", coarse, fine, pixels)


@pytest.fixture
def records():
    random = np.random.RandomState(0)

    def some(n):
        return [(i % 20, 7 * i % 100, random.bytes(3072)) for i in range(n)]

    return {"train": some(60), "test": some(20)}


@pytest.fixture
def folder(tmp_path, records):
    (tmp_path / "cifar-100-binary").mkdir()
    for split, rows in records.items():
        content = b"".join(record(*row) for row in rows)
        (tmp_path / "cifar-100-binary" / f"{split}.bin").write_bytes(content)
    return tmp_path


def read(folder):
    return lambda: ORIGINAL.pools(source_of(ORIGINAL, folder), "cifar100")


def test_membership_labels_and_pixels(folder, records):
    splits, notes = prepare(ORIGINAL, folder, LIMITS)
    train = tfds_order("train", range(60))
    assert keys_of(splits["train800"]) == train[:20]
    assert keys_of(splits["val200"]) == train[54:58]
    assert keys_of(splits["test"]) == tfds_order("test", range(20))
    for split, name in (("train800", "train"), ("val200", "train"), ("test", "test")):
        for key, label, image in splits[split]:
            _, fine, pixels = records[name][key]
            assert label == fine
            assert (image.mode, image.size) == ("RGB", (32, 32))
            for x, y in ((0, 0), (31, 0), (5, 17), (31, 31)):
                assert image.getpixel((x, y)) == tuple(
                    pixels[1024 * c + 32 * y + x] for c in range(3)
                )
    assert len(notes) == 2
    assert "60 records of train where 50,000 were published" in notes[0]


def test_order_at_the_true_size(tmp_path):
    for split, size in (("train", 50_000), ("test", 10_000)):
        with (tmp_path / f"{split}.bin").open("wb") as file:
            file.truncate(3074 * size)
    source = source_of(ORIGINAL, tmp_path)
    pools = ORIGINAL.pools(source, "cifar100")
    assert not source.notes
    assert not source.incomplete
    chosen = select(pools, ORIGINAL.tasks["cifar100"])
    # reference/vtab1k.md, 3.1
    assert chosen["train800"][:5] == [16399, 1680, 47917, 17307, 27051]
    assert chosen["val200"][:3] == [13431, 9237, 17462]
    assert [len(chosen[split]) for split in ("train800", "val200", "test")] == [800, 200, 10_000]


def test_one_record_less_is_incomplete(tmp_path):
    for split, size in (("train", 49_999), ("test", 10_000)):
        with (tmp_path / f"{split}.bin").open("wb") as file:
            file.truncate(3074 * size)
    source = source_of(ORIGINAL, tmp_path)
    pools = ORIGINAL.pools(source, "cifar100")
    # as many as there should be, yet others
    chosen = select(pools, ORIGINAL.tasks["cifar100"])
    assert [len(chosen[split]) for split in ("train800", "val200", "test")] == [800, 200, 10_000]
    assert "49,999 records of train where 50,000 were published" in source.incomplete[0]
    assert source.incomplete == source.notes


def test_layouts(folder, tmp_path_factory):
    expected = keys_of(prepare(ORIGINAL, folder, LIMITS)[0]["test"])
    inner = folder / "cifar-100-binary"
    assert keys_of(prepare(ORIGINAL, inner, LIMITS)[0]["test"]) == expected
    packed = tmp_path_factory.mktemp("packed")
    with tarfile.open(packed / "cifar-100-binary.tar.gz", "w:gz") as tar:
        tar.add(inner, arcname="cifar-100-binary")
    assert keys_of(prepare(ORIGINAL, packed, LIMITS)[0]["test"]) == expected


def test_refuses_missing_files(folder):
    (folder / "cifar-100-binary" / "test.bin").unlink()
    refused(read(folder), "test.bin", "cifar-100-binary.tar.gz", ORIGINAL.page)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda content: content[:-1], ("184,439 bytes", "truncated")),
        (lambda content: content[:0], ("0 bytes",)),
        # CIFAR-10's records have one label
        (lambda content: content[: 3073 * 60], ("3,074",)),
        (lambda c: c[: 3074 * 7 + 1] + b"\x64" + c[3074 * 7 + 2 :], ("record 7", "fine", "100")),
        (lambda c: c[: 3074 * 9] + b"\x14" + c[3074 * 9 + 1 :], ("record 9", "coarse", "20")),
    ],
)
def test_refuses_damage(folder, damage, words):
    path = folder / "cifar-100-binary" / "train.bin"
    path.write_bytes(damage(path.read_bytes()))
    refused(read(folder), path, *words)
