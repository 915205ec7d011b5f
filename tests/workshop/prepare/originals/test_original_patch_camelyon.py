import gzip
from pathlib import Path

import h5py
import numpy as np
import pytest
from originals_expected import expected_order, prepared, refused, source_of
from torchvision.datasets import PCAM

from hydra_peft.workshop.prepare.originals.patch_camelyon import ORIGINAL

SIZES = {"train": 30, "valid": 11, "test": 9}
SALTS = {"train": "train", "valid": "validation", "test": "test"}


def name(split: str, kind: str) -> str:
    return f"camelyonpatch_level_2_split_{split}_{kind}.h5"


def write(folder: Path, split: str, kind: str, values: np.ndarray, **options: object) -> Path:
    path = folder / name(split, kind)
    with h5py.File(path, "w") as file:
        file.create_dataset(kind, data=values, **options)
    return path


@pytest.fixture
def originals(tmp_path):
    rng = np.random.RandomState(0)
    made = {}
    for split, size in SIZES.items():
        x = rng.randint(0, 256, (size, 96, 96, 3)).astype(np.uint8)
        y = rng.randint(0, 2, (size, 1, 1, 1)).astype(np.uint8)
        write(tmp_path, split, "x", x)
        write(tmp_path, split, "y", y)
        made[split] = x, y
    return tmp_path, made


def check(folder, made):
    splits = prepared(ORIGINAL, "patch_camelyon", folder)
    for split, word, size in (
        ("train800", "train", 4),
        ("val200", "valid", 3),
        ("test", "test", 9),
    ):
        x, y = made[word]
        keys = [f"{word}_{i}" for i in range(len(x))]
        order = expected_order(keys, SALTS[word])[:size]
        assert splits[split].keys == [keys[i] for i in order]
        assert splits[split].labels == y[order, 0, 0, 0].tolist()
        for place, index in enumerate(order):
            assert np.array_equal(splits[split].pixels(place), x[index])


def test_members_order_labels_and_pixels(originals):
    check(*originals)


def test_packed_files_are_unpacked(originals):
    folder, made = originals
    for path in sorted(folder.glob("*.h5")):
        (folder / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), 1))
        path.unlink()
    check(folder, made)
    source = source_of(ORIGINAL, folder)
    ORIGINAL.pools(source, "patch_camelyon")
    used = {path.name for path in source.used}
    assert {name("train", "x"), name("train", "x") + ".gz"} <= used


def test_torchvision_reads_the_same(originals):
    folder, _ = originals
    (folder / "pcam").mkdir()
    for path in sorted(folder.glob("*.h5")):
        path.rename(folder / "pcam" / path.name)
    found = pools(folder)
    for split, pool in (("train", "train"), ("val", "validation"), ("test", "test")):
        theirs = PCAM(str(folder), split)
        assert len(theirs) == len(found[pool].keys)
        for index in range(len(theirs)):
            image, label = theirs[index]
            assert label == found[pool].labels[index]
            assert np.array_equal(np.asarray(image), np.asarray(found[pool].image(index)))


def test_a_part_is_noted(originals):
    source = source_of(ORIGINAL, originals[0])
    ORIGINAL.pools(source, "patch_camelyon")
    assert any("30 patches" in note and "262,144" in note for note in source.notes)


def pools(folder):
    return ORIGINAL.pools(source_of(ORIGINAL, folder), "patch_camelyon")


def test_missing_file(originals):
    folder, _ = originals
    (folder / name("valid", "y")).unlink()
    refused(lambda: pools(folder), name("valid", "y"), "pcam", "camelyonpatch")


def test_truncated_file(originals):
    folder, _ = originals
    path = folder / name("test", "x")
    path.write_bytes(path.read_bytes()[:-5000])
    refused(lambda: pools(folder), path, "not a whole HDF5 file", "again")


def test_foreign_file(originals):
    folder, _ = originals
    path = folder / name("train", "y")
    path.write_bytes(b"<html>not found</html>" * 100)
    refused(lambda: pools(folder), path, "HDF5")


def test_missing_dataset(originals):
    folder, _ = originals
    path = folder / name("train", "y")
    with h5py.File(path, "w") as file:
        file["z"] = np.zeros(3)
    refused(lambda: pools(folder), path, "'y'")


def test_group_in_place_of_a_dataset(originals):
    folder, _ = originals
    path = folder / name("train", "y")
    with h5py.File(path, "w") as file:
        file.create_group("y")
    refused(lambda: pools(folder), path, "'y'", "group")


@pytest.mark.parametrize(
    "values",
    [np.zeros((9, 96, 96), np.uint8), np.zeros((9, 96, 96, 3), np.float32), np.zeros(())],
)
def test_wrong_shape_or_type(originals, values):
    folder, _ = originals
    path = write(folder, "test", "x", values)
    refused(lambda: pools(folder), path, "96, 96, 3")


def test_a_shape_that_would_fill_the_memory(originals):
    folder, _ = originals
    path = folder / name("test", "y")
    with h5py.File(path, "w") as file:
        file.create_dataset("y", (10**12, 1, 1, 1), "u1", chunks=(1024, 1, 1, 1))
    refused(lambda: pools(folder), path, "1000000000000", "32768")


def test_counts_that_differ(originals):
    folder, made = originals
    path = write(folder, "valid", "y", made["valid"][1][:-1])
    refused(lambda: pools(folder), path, name("valid", "x"), "11", "10")


def test_label_out_of_range(originals):
    folder, made = originals
    y = made["train"][1].copy()
    y[7] = 2
    path = write(folder, "train", "y", y)
    refused(lambda: pools(folder), path, "label 7 is 2")


def test_damaged_patch(originals):
    folder, made = originals
    x = made["test"][0]
    path = write(folder, "test", "x", x, chunks=(1, 96, 96, 3), compression="gzip")
    with h5py.File(path) as file:
        chunk = file["x"].id.get_chunk_info(4)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset : chunk.byte_offset + chunk.size] = bytes(chunk.size)
    path.write_bytes(content)
    image = pools(folder)["test"].image
    assert np.array_equal(np.asarray(image(3)), x[3])
    refused(lambda: image(4), path, "at 4")
