import pytest
from originals_expected import (
    keys_of,
    pack_tar,
    picture,
    prepare,
    refused,
    source_of,
    tfds_order,
    write,
)

from hydra_peft.workshop.prepare.originals.oxford_pets import ORIGINAL

LIMITS = {"train800": 12, "val200": 3, "test": None}
BREEDS = {"Abyssinian": (1, 1, 1), "american_bulldog": (2, 2, 1), "yorkshire_terrier": (37, 2, 25)}


@pytest.fixture
def names():
    every = [f"{breed}_{i}" for i in range(1, 13) for breed in BREEDS]
    return {"trainval": every[:21], "test": every[21:]}


@pytest.fixture
def folder(tmp_path, names):
    for listing, images in names.items():
        lines = [
            f"{name} {' '.join(map(str, BREEDS[name.rsplit('_', 1)[0]]))}\n" for name in images
        ]
        write(tmp_path / "annotations" / f"{listing}.txt", "".join(lines))
        for number, name in enumerate(images):
            # some of the published files are PNG by content
            form = "PNG" if number % 5 == 0 else "JPEG"
            content = picture(number + 100 * len(images), form)
            write(tmp_path / "images" / f"{name}.jpg", content)
    write(tmp_path / "images" / "Abyssinian_100.mat", "stray")
    return tmp_path


def read(folder):
    return lambda: ORIGINAL.pools(source_of(ORIGINAL, folder), "oxford_pets")


def test_membership_labels_and_bytes(folder, names):
    splits, notes = prepare(ORIGINAL, folder, LIMITS)
    train = tfds_order("train", [f"{name}.jpg" for name in names["trainval"]])
    assert keys_of(splits["train800"]) == train[:12]
    assert keys_of(splits["val200"]) == train[16:19]  # 80 % of 21 is 16.8
    assert keys_of(splits["test"]) == tfds_order("test", [f"{name}.jpg" for name in names["test"]])
    for split in splits.values():
        for key, label, image in split:
            assert label == {"A": 0, "a": 1, "y": 36}[key[0]]
            assert image == (folder / "images" / key).read_bytes()
    assert len(notes) == 2


def test_archives_beside_another_original(folder, tmp_path_factory):
    packed = tmp_path_factory.mktemp("packed")
    pack_tar(packed / "pets" / "images.tar.gz", folder, "images", mode="w")
    pack_tar(packed / "pets" / "annotations.tar.gz", folder, "annotations")
    write(packed / "dtd" / "images" / "banded" / "banded_0001.jpg", picture(1))
    expected = prepare(ORIGINAL, folder, LIMITS)
    assert prepare(ORIGINAL, packed, LIMITS) == expected
    assert prepare(ORIGINAL, packed, LIMITS) == expected  # from what is unpacked


def test_refuses_missing_files(folder):
    (folder / "images" / "Abyssinian_2.jpg").unlink()
    refused(read(folder), "Abyssinian_2.jpg", "trainval.txt")
    (folder / "annotations" / "test.txt").unlink()
    refused(read(folder), "test.txt", "annotations.tar.gz", ORIGINAL.page)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("Abyssinian_99 1 1", ("<image> <class id> <species> <breed id>",)),
        ("Abyssinian_99 one 1 1", ("<image> <class id> <species> <breed id>",)),
        ("Abyssinian_99 1 3 1", ("<image> <class id> <species> <breed id>",)),
        ("../Abyssinian_99 1 1 1", ("<image> <class id> <species> <breed id>",)),
        ("Abyssinian_99 0 1 1", ("class id 0", "1 to 37")),
        ("pug_99 38 1 1", ("class id 38", "1 to 37")),
        ("Abyssinian_99 2 1 1", ("class id 2", "'Abyssinian_1'", "trainval.txt, line 1")),
        ("Abyssinian_1 1 1 1", ("stands already", "trainval.txt, line 1")),
        ("Abyssinian_9 1 1 1", ("stands already", "test.txt, line 4")),
        ("Abyssinian_99 1 1 1", ("Abyssinian_99.jpg", "listed in")),
    ],
)
def test_refuses_malformed_lines(folder, line, words):
    listing = folder / "annotations" / "test.txt"
    write(listing, listing.read_text() + line + "\n")
    refused(read(folder), listing, *words)


def test_refuses_damaged_images(folder, names):
    pool = read(folder)()["train"]
    for index in (0, 1):  # a PNG and a JPEG
        path = folder / "images" / f"{names['trainval'][index]}.jpg"
        path.write_bytes(path.read_bytes()[:-30])
        refused(lambda index=index: pool.image(index), path, "whole image")
