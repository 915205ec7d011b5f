import numpy as np
import pytest
import scipy.io
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

from hydra_peft.workshop.prepare.originals.flowers102 import ORIGINAL

LIMITS = {"train800": 7, "val200": 5, "test": None}
N = 40
LABELS = np.array([1 + 17 * i % 102 for i in range(N)], dtype=np.uint8)
SETS = {
    "trnid": np.arange(1, N + 1, 4),
    "valid": np.arange(2, N + 1, 4),
    "tstid": np.concatenate([np.arange(3, N + 1, 4), np.arange(4, N + 1, 4)]),
}


def save(folder, labels=LABELS, **sets):
    scipy.io.savemat(folder / "imagelabels.mat", {"labels": labels[None]})
    rows = {name: np.asarray(row)[None] for name, row in {**SETS, **sets}.items()}
    scipy.io.savemat(folder / "setid.mat", rows)


@pytest.fixture
def folder(tmp_path):
    for number in range(1, N + 1):
        write(tmp_path / "jpg" / f"image_{number:05d}.jpg", picture(number))
    save(tmp_path)
    return tmp_path


def read(folder):
    return lambda: ORIGINAL.pools(source_of(ORIGINAL, folder), "flowers102")


@pytest.mark.parametrize("kind", [np.uint8, np.float64, np.uint16])
def test_membership_labels_and_bytes(folder, kind):
    save(folder, LABELS.astype(kind), **{name: ids.astype(kind) for name, ids in SETS.items()})
    splits, notes = prepare(ORIGINAL, folder, LIMITS)
    names = {
        name: [f"image_000{number:02d}.jpg" for number in numbers] for name, numbers in SETS.items()
    }
    assert keys_of(splits["train800"]) == tfds_order("train", names["trnid"])[:7]
    assert keys_of(splits["val200"]) == tfds_order("validation", names["valid"])[:5]
    assert keys_of(splits["test"]) == tfds_order("test", names["tstid"])
    for split in splits.values():
        for key, label, image in split:
            assert label == 17 * (int(key[6:11]) - 1) % 102
            assert image == (folder / "jpg" / key).read_bytes()
    assert len(notes) == 3


def test_archive(folder, tmp_path_factory):
    packed = tmp_path_factory.mktemp("packed")
    pack_tar(packed / "102flowers.tgz", folder, "jpg")
    save(packed)
    assert prepare(ORIGINAL, packed, LIMITS) == prepare(ORIGINAL, folder, LIMITS)


@pytest.mark.parametrize("name", ["imagelabels.mat", "setid.mat"])
def test_refuses_missing_and_damaged_label_files(folder, name):
    content = (folder / name).read_bytes()
    (folder / name).unlink()
    refused(read(folder), name, ORIGINAL.page)
    (folder / name).write_bytes(content[:150])
    refused(read(folder), folder / name, "fetch it again")


def test_refuses_missing_images(folder):
    (folder / "jpg" / "image_00011.jpg").unlink()
    (folder / "jpg" / "image_00015.jpg").unlink()
    refused(read(folder), "image_00011.jpg and 1 more", "setid.mat")


@pytest.mark.parametrize(
    ("label", "words"),
    [(0, ("image 8 is 0",)), (103, ("image 8 is 103",)), (2.5, ("labels", "whole numbers"))],
)
def test_refuses_labels_out_of_range(folder, label, words):
    save(folder, np.where(np.arange(N) == 7, label, LABELS))
    refused(read(folder), folder / "imagelabels.mat", *words)


@pytest.mark.parametrize(
    ("trnid", "words"),
    [
        ([1, 1, 5], ("image 1 more than once",)),
        ([1, 2, 5], ("image 2 more than once",)),
        ([1, 5, 41], ("image 41", "1 to 40")),
        ([0, 1, 5], ("image 0",)),
        ([1, 5, 9], ("33 images", "labels 40")),
        ([1.5, 5], ("trnid", "whole numbers")),
    ],
)
def test_refuses_sets_that_do_not_fit_the_labels(folder, trnid, words):
    save(folder, trnid=trnid)
    refused(read(folder), folder / "setid.mat", *words)


def test_refuses_a_file_without_the_sets(folder):
    scipy.io.savemat(folder / "setid.mat", {"trnid": [[1]]})
    refused(read(folder), folder / "setid.mat", "'valid'")
