import shutil

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

from hydra_peft.workshop.prepare.originals.eurosat import ORIGINAL

LIMITS = {"train800": 30, "val200": 10, "test": None}
LABELS = {
    "AnnualCrop": 0,
    "Forest": 1,
    "HerbaceousVegetation": 2,
    "Highway": 3,
    "Industrial": 4,
    "Pasture": 5,
    "PermanentCrop": 6,
    "Residential": 7,
    "River": 8,
    "SeaLake": 9,
}


@pytest.fixture
def folder(tmp_path):
    for name, label in LABELS.items():
        for i in range(1, 10):
            path = tmp_path / "2750" / name / f"{name}_{i}.jpg"
            write(path, picture(10 * i + label, size=(64, 64)))
    return tmp_path


def read(folder):
    return lambda: ORIGINAL.pools(source_of(ORIGINAL, folder), "eurosat")


def test_membership_labels_and_bytes(folder):
    splits, notes = prepare(ORIGINAL, folder, LIMITS)
    order = tfds_order("train", [f"{name}_{name}_{i}.jpg" for name in LABELS for i in range(1, 10)])
    assert keys_of(splits["train800"]) == order[:30]
    assert keys_of(splits["val200"]) == order[54:64]
    assert keys_of(splits["test"]) == order[72:]
    for split in splits.values():
        for key, label, image in split:
            name, file = key.split("_", 1)
            assert label == LABELS[name]
            assert image == (folder / "2750" / name / file).read_bytes()
    assert notes == [
        "EuroSAT: 90 images where 27,000 were published, so the examples are not exactly the "
        "benchmark's."
    ]


def test_archive(folder, tmp_path_factory):
    packed = tmp_path_factory.mktemp("packed")
    pack_zip(packed / "EuroSAT.zip", folder)
    assert prepare(ORIGINAL, packed, LIMITS) == prepare(ORIGINAL, folder, LIMITS)


def test_notes_what_is_left_out(folder):
    shutil.rmtree(folder / "2750" / "River")
    write(folder / "2750" / "Forest" / "Thumbs.db", "x")
    write(folder / "2750" / "Forest" / ".hidden.jpg", "x")
    write(folder / "2750" / "readme.txt", "x")
    splits, notes = prepare(ORIGINAL, folder, LIMITS)
    assert "no folder of River" in notes[0]
    assert "Forest/Thumbs.db" in notes[1]
    assert "81 images" in notes[2]
    assert {label for split in splits.values() for _, label, _ in split} == set(range(10)) - {8}


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("Forests/Forests_1.jpg", ("'Forests' is none of the 10", "did you mean 'Forest'")),
        ("river/river_1.jpg", ("'river' is none of the 10",)),
        ("Forest/River_99.jpg", ("Forest/River_99.jpg", "another class")),
    ],
)
def test_refuses_foreign_files(folder, path, words):
    write(folder / "2750" / path, picture(0))
    refused(read(folder), folder / "2750", *words)


def test_refuses_missing_files(folder):
    for path in (folder / "2750" / "Forest").iterdir():
        path.unlink()
    refused(read(folder), folder / "2750" / "Forest", "no .jpg")
    shutil.rmtree(folder / "2750")
    refused(read(folder), "2750", "EuroSAT.zip", ORIGINAL.page)
    write(folder / "2750", "a file")
    refused(read(folder), folder / "2750")


def test_refuses_damaged_images(folder):
    pool = read(folder)()["train"]
    path = folder / "2750" / "AnnualCrop" / "AnnualCrop_1.jpg"
    path.write_bytes(path.read_bytes()[:-10])
    refused(lambda: pool.image(0), path, "whole image")
