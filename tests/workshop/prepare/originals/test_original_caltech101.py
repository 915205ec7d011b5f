import shutil

import numpy as np
import pytest
from originals_expected import (
    keys_of,
    pack_tar,
    pack_zip,
    picture,
    prepare,
    refused,
    source_of,
    tfds_order,
    write,
)

from hydra_peft.workshop.prepare.originals import caltech101
from hydra_peft.workshop.prepare.originals.caltech101 import ORIGINAL

LIMITS = {"train800": 40, "val200": 10, "test": None}
ROOT = "101_ObjectCategories"
#: images of each folder, and the position of its lower-cased name among the 102
FOLDERS = {
    "BACKGROUND_Google": (35, 4),
    "Faces": (31, 37),
    "Faces_easy": (30, 38),
    "accordion": (33, 0),
    "yin_yang": (32, 101),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("caltech")
    for number, (name, (count, _)) in enumerate(FOLDERS.items()):
        for i in range(1, count + 1):
            write(folder / ROOT / name / f"image_{i:04d}.jpg", picture(256 * number + i))
    # as published
    write(folder / ROOT / "BACKGROUND_Google" / "tmp", "x")
    return folder


@pytest.fixture
def folder(made, tmp_path):
    return shutil.copytree(made, tmp_path / "copy")


def read(folder):
    return lambda: ORIGINAL.pools(source_of(ORIGINAL, folder), "caltech101")


def check_examples(splits, folder):
    for split in splits.values():
        for key, label, image in split:
            assert label == FOLDERS[key.split("/")[0]][1]
            assert image == (folder / ROOT / key).read_bytes()


def test_drawn_partition(made):
    splits, notes = prepare(ORIGINAL, made, LIMITS)
    random = np.random.RandomState(1234)
    train, test = [], []
    for name, (count, _) in FOLDERS.items():  # capitals come first
        files = [f"{name}/image_{i:04d}.jpg" for i in range(1, count + 1)]
        shuffled = random.permutation(count)
        train += [files[i] for i in shuffled[:30]]
        test += [files[i] for i in shuffled[30:]]
    order = tfds_order("train", train)
    assert len(order) == 150
    assert keys_of(splits["train800"]) == order[:40]
    assert keys_of(splits["val200"]) == order[135:145]
    assert keys_of(splits["test"]) == tfds_order("test", test)
    check_examples(splits, made)
    text = " ".join(notes)
    assert "cannot be rebuilt" in text
    assert "BACKGROUND_Google/tmp" in text
    assert "150 images for train where 3,060" in text


def test_a_partition_that_cannot_be_rebuilt_is_not_incomplete(made, monkeypatch):
    source = source_of(ORIGINAL, made)
    ORIGINAL.pools(source, "caltech101")
    assert [text.split(" where ")[0] for text in source.incomplete] == [
        "Caltech-101: 150 images for train",
        f"Caltech-101: {sum(count - 30 for count, _ in FOLDERS.values())} images for test",
    ]
    sizes = {"train": 150, "test": sum(count - 30 for count, _ in FOLDERS.values())}
    monkeypatch.setattr(caltech101, "SIZES", sizes)
    source = source_of(ORIGINAL, made)
    ORIGINAL.pools(source, "caltech101")
    assert "cannot be rebuilt" in " ".join(source.notes)
    assert source.incomplete == []


def test_listed_partition(folder):
    train = [f"Faces/image_{i:04d}.jpg" for i in range(1, 21)]
    test = [f"yin_yang/image_{i:04d}.jpg" for i in range(1, 4)] + ["Faces/image_0030.jpg"]
    write(folder / "caltech101_train.txt", "\r\n".join(train))
    write(folder / "caltech101_test.txt", "\n".join(test) + "\n")
    splits, notes = prepare(ORIGINAL, folder, LIMITS)
    order = tfds_order("train", train)
    assert keys_of(splits["train800"]) == order[:18]
    assert keys_of(splits["val200"]) == order[18:]
    assert keys_of(splits["test"]) == tfds_order("test", test)
    check_examples(splits, folder)
    assert "cannot be rebuilt" not in " ".join(notes)


def test_archives(made, tmp_path):
    """The published zip holds a tar.gz."""
    pack_tar(tmp_path / "zip" / "caltech-101" / f"{ROOT}.tar.gz", made, ROOT)
    (tmp_path / "packed").mkdir()
    pack_zip(tmp_path / "packed" / "caltech-101.zip", tmp_path / "zip")
    expected = prepare(ORIGINAL, made, LIMITS)
    assert prepare(ORIGINAL, tmp_path / "packed", LIMITS) == expected
    assert prepare(ORIGINAL, tmp_path / "zip", LIMITS) == expected  # unzipped by hand
    source = source_of(ORIGINAL, tmp_path / "packed")
    ORIGINAL.pools(source, "caltech101")
    assert [path.name for path in source.used] == [f"{ROOT}.tar.gz", "caltech-101.zip"]


def test_refuses_missing_files(tmp_path):
    refused(read(tmp_path), "caltech-101.zip", ORIGINAL.page)


def test_refuses_classes_that_are_too_small_or_unknown(folder):
    (folder / ROOT / "Faces_easy" / "image_0001.jpg").unlink()
    refused(read(folder), folder / ROOT / "Faces_easy", "29 images", "30")
    (folder / ROOT / "yin_yang").rename(folder / ROOT / "yinyang")
    refused(read(folder), folder / ROOT, "'yinyang'", "did you mean 'yin_yang'")


def test_refuses_two_folders_of_one_class(folder):
    shutil.copytree(folder / ROOT / "Faces", folder / ROOT / "faces", dirs_exist_ok=True)
    if len(list((folder / ROOT).iterdir())) == 6:  # the file system tells them apart
        refused(read(folder), folder / ROOT, "letter case")


@pytest.mark.parametrize(
    ("train", "test", "words"),
    [
        ("Faces/image_0001.jpg", None, ("but not caltech101_test.txt",)),
        (None, "Faces/image_0001.jpg", ("but not caltech101_train.txt",)),
        ("image_0001.jpg", "Faces/image_0001.jpg", ("train.txt, line 1", "<Folder>/<file>.jpg")),
        ("../Faces.jpg", "Faces/image_0001.jpg", ("train.txt, line 1", "<Folder>/<file>.jpg")),
        ("Faces/image_0001.jpg", "Faces/image_0099.jpg", ("image_0099.jpg", "test.txt")),
        ("Faces/image_0001.jpg", "Faces/image_0001.jpg", ("stands already", "train.txt, line 1")),
        ("Faces/image_0001.jpg", "", ("test.txt", "empty")),
    ],
)
def test_refuses_malformed_lists(folder, train, test, words):
    for name, content in (("train", train), ("test", test)):
        if content is not None:
            write(folder / f"caltech101_{name}.txt", content)
    refused(read(folder), *words)


def test_refuses_a_listed_folder_that_is_no_class(folder):
    write(folder / ROOT / "cups" / "image_0001.jpg", picture(1))
    write(folder / "caltech101_train.txt", "cups/image_0001.jpg")
    write(folder / "caltech101_test.txt", "Faces/image_0001.jpg")
    refused(read(folder), "train.txt, line 1", "'cups'", "did you mean 'cup'")
