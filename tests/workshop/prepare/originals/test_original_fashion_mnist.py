import gzip
import struct

import numpy as np
import pytest
from originals_expected import keys_of, prepare, refused, source_of, tfds_order

from hydra_peft.workshop.prepare.originals.fashion_mnist import ORIGINAL

LIMITS = {"train800": 20, "val200": 4, "test": None}
COUNTS = {"train": 60, "t10k": 20}


def idx(array):
    return struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def arrays():
    random = np.random.RandomState(0)
    return {
        name: (
            random.randint(0, 256, (count, 28, 28), np.uint8),
            np.arange(count, dtype=np.uint8) % 10,
        )
        for name, count in COUNTS.items()
    }


@pytest.fixture
def folder(tmp_path, arrays):
    for name, (images, labels) in arrays.items():
        (tmp_path / f"{name}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
        (tmp_path / f"{name}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(labels)))
    return tmp_path


def read(folder):
    return lambda: ORIGINAL.pools(source_of(ORIGINAL, folder), "fashion_mnist")


def check(splits, arrays):
    train = tfds_order("train", range(60))
    assert keys_of(splits["train800"]) == train[:20]
    assert keys_of(splits["val200"]) == train[54:58]
    assert keys_of(splits["test"]) == tfds_order("test", range(20))
    for split, name in (("train800", "train"), ("val200", "train"), ("test", "t10k")):
        for key, label, image in splits[split]:
            assert label == key % 10
            assert image.mode == "L"
            np.testing.assert_array_equal(np.asarray(image), arrays[name][0][key])


def test_membership_labels_and_pixels(folder, arrays):
    splits, notes = prepare(ORIGINAL, folder, LIMITS)
    check(splits, arrays)
    assert "60 images of train where 60,000 were published" in " ".join(notes)
    assert "the content of train-images-idx3-ubyte has the sha256" in notes[0]


def test_torchvisions_folder_unpacked(tmp_path, folder, arrays):
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for path in folder.glob("*.gz"):
        (raw / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    check(prepare(ORIGINAL, tmp_path, LIMITS)[0], arrays)


def test_wrong_files(folder, arrays):
    images, labels = (folder / f"train-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1"))
    whole = labels.read_bytes()
    labels.write_bytes(gzip.compress(idx(arrays["train"][1][:-1])))
    refused(read(folder), "60 images and 59 labels of train")
    labels.write_bytes(gzip.compress(idx(np.full(60, 10, np.uint8))))
    refused(read(folder), "image 0 of train has the label 10, not one of 0 to 9")
    labels.write_bytes(whole[:-9])
    refused(read(folder), "cannot read", "train-labels-idx1-ubyte.gz")
    labels.write_bytes(gzip.compress(idx(arrays["train"][1])[:-3]))
    refused(read(folder), "is no IDX file of unsigned bytes with 1 axes, or it is truncated")
    labels.write_bytes(images.read_bytes())
    refused(read(folder), "is no IDX file of unsigned bytes with 1 axes")
    labels.unlink()
    refused(read(folder), "neither train-labels-idx1-ubyte.gz")
