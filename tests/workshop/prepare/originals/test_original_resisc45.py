import pytest
from originals_expected import (
    keys_of,
    pack_zip,
    picture,
    prepare,
    refused,
    source_of,
    tfds_order,
    write,
)

from hydra_peft.workshop.prepare.originals.resisc45 import ORIGINAL

LIMITS = {"train800": 20, "val200": 6, "test": None}
#: positions among the 45 names in alphabetical order
LABELS = {
    "airplane": 0,
    "baseball_diamond": 2,
    "church": 7,
    "railway": 29,
    "railway_station": 30,
    "wetland": 44,
}


@pytest.fixture
def folder(tmp_path):
    for name, label in LABELS.items():
        for i in range(1, 8):
            write(
                tmp_path / "NWPU-RESISC45" / name / f"{name}_{i:03d}.jpg", picture(50 * i + label)
            )
    return tmp_path


def read(folder):
    return lambda: ORIGINAL.pools(source_of(ORIGINAL, folder), "resisc45")


def test_membership_labels_and_bytes(folder):
    splits, notes = prepare(ORIGINAL, folder, LIMITS)
    files = {
        f"{name}_{name}_{i:03d}.jpg": (name, f"{name}_{i:03d}.jpg")
        for name in LABELS
        for i in range(1, 8)
    }
    order = tfds_order("train", files)
    assert keys_of(splits["train800"]) == order[:20]
    assert keys_of(splits["val200"]) == order[25:31]  # 60 % of 42 is 25.2
    assert keys_of(splits["test"]) == order[33:]  # 80 % of 42 is 33.6
    for split in splits.values():
        for key, label, image in split:
            name, file = files[key]
            assert label == LABELS[name]
            assert image == (folder / "NWPU-RESISC45" / name / file).read_bytes()
    assert "no folder of airport, basketball_court, beach" in notes[0]
    assert "42 images where 31,500" in notes[1]


def test_archive(folder, tmp_path_factory):
    packed = tmp_path_factory.mktemp("packed")
    pack_zip(packed / "NWPU-RESISC45.zip", folder)
    assert prepare(ORIGINAL, packed, LIMITS) == prepare(ORIGINAL, folder, LIMITS)


def test_refuses_what_is_not_unpacked(tmp_path):
    refused(read(tmp_path), "NWPU-RESISC45", ORIGINAL.page)
    write(tmp_path / "NWPU-RESISC45.rar", b"Rar!\x1a\x07\x00")
    refused(read(tmp_path), "NWPU-RESISC45.rar", "unrar x")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("lakes/lakes_001.jpg", ("'lakes' is none of the 45", "did you mean 'lake'")),
        ("airplane/airport_001.jpg", ("airport_001.jpg", "another class")),
    ],
)
def test_refuses_foreign_files(folder, path, words):
    write(folder / "NWPU-RESISC45" / path, picture(0))
    refused(read(folder), folder / "NWPU-RESISC45", *words)
