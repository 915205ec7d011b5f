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

from hydra_peft.workshop.prepare.originals.dtd import ORIGINAL

LIMITS = {"train800": 9, "val200": 4, "test": None}
#: positions among the 47 names in alphabetical order
LABELS = {"banded": 0, "polka-dotted": 30, "potholed": 32, "zigzagged": 46}
LISTS = {"train": "train1.txt", "validation": "val1.txt", "test": "test1.txt"}


@pytest.fixture
def keys():
    names = [f"{name}/{name}_{i:04d}.jpg" for i in range(12) for name in LABELS]
    return {"train": names[:16], "validation": names[16:32], "test": names[32:]}


@pytest.fixture
def folder(tmp_path, keys):
    content = {}
    for split, names in keys.items():
        write(tmp_path / "dtd" / "labels" / LISTS[split], "".join(f"{n}\n" for n in names))
        for name in names:
            content[name] = picture(len(content))
            write(tmp_path / "dtd" / "images" / name, content[name])
    # lists of other partitions and of joint attributes lie beside them
    write(tmp_path / "dtd" / "labels" / "train2.txt", "other\n")
    write(tmp_path / "dtd" / "labels" / "labels_joint_anno.txt", "banded/banded_0001.jpg banded\n")
    return tmp_path


def read(folder):
    return lambda: ORIGINAL.pools(source_of(ORIGINAL, folder), "dtd")


def test_membership_labels_and_bytes(folder, keys):
    splits, notes = prepare(ORIGINAL, folder, LIMITS)
    assert keys_of(splits["train800"]) == tfds_order("train", keys["train"])[:9]
    assert keys_of(splits["val200"]) == tfds_order("validation", keys["validation"])[:4]
    assert keys_of(splits["test"]) == tfds_order("test", keys["test"])
    for split in splits.values():
        for key, label, image in split:
            assert label == LABELS[key.split("/")[0]]
            assert image == (folder / "dtd" / "images" / key).read_bytes()
    assert len(notes) == 3


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_archive(folder, tmp_path_factory, mode):
    """The published file is named .tar.gz and is a plain tar."""
    packed = tmp_path_factory.mktemp("packed")
    pack_tar(packed / "dtd-r1.0.1.tar.gz", folder, "dtd", mode=mode)
    assert prepare(ORIGINAL, packed, LIMITS) == prepare(ORIGINAL, folder, LIMITS)
    assert prepare(ORIGINAL, folder / "dtd", LIMITS) == prepare(ORIGINAL, folder, LIMITS)


def test_refuses_missing_files(folder):
    image = folder / "dtd" / "images" / "banded" / "banded_0000.jpg"
    image.unlink()
    refused(read(folder), "banded/banded_0000.jpg", "train1.txt", "unpack")
    (folder / "dtd" / "labels" / "val1.txt").unlink()
    refused(read(folder), "val1.txt", "dtd-r1.0.1.tar.gz", ORIGINAL.page)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("banded_0000.jpg", ("<class>/<file>.jpg",)),
        ("banded/banded_0001.png", ("<class>/<file>.jpg",)),
        ("a/banded/banded_0001.jpg", ("<class>/<file>.jpg",)),
        ("../banded.jpg", ("<class>/<file>.jpg",)),
        ("banded\\banded_0001.jpg", ("<class>/<file>.jpg",)),
        ("baned/banded_0001.jpg", ("'baned' is none of the 47", "did you mean 'banded'")),
        ("banded/banded_0000.jpg", ("stands already", "line 1")),
        ("banded/banded_0011.jpg", ("stands already", "test1.txt, line 13")),
    ],
)
def test_refuses_malformed_lines(folder, line, words):
    listing = folder / "dtd" / "labels" / "train1.txt"
    write(listing, listing.read_text() + f"\n{line}\n")
    entry = "test1.txt" if "0011" in line else f"{listing}, line 18"
    refused(read(folder), entry, *words)


@pytest.mark.parametrize(("content", "word"), [(b"", "empty"), (b"\xff\xfe", "UTF-8")])
def test_refuses_what_is_no_list(folder, content, word):
    listing = folder / "dtd" / "labels" / "train1.txt"
    write(listing, content)
    refused(read(folder), listing, word)


@pytest.mark.parametrize("damage", [slice(-9), slice(100), slice(0), slice(300, None)])
def test_refuses_damaged_images(folder, keys, damage):
    pool = read(folder)()["train"]
    path = folder / "dtd" / "images" / keys["train"][3]
    path.write_bytes(path.read_bytes()[damage])
    refused(lambda: pool.image(3), path, "whole image")
    path.unlink()
    refused(lambda: pool.image(3), path, "No such file")
