import struct

import numpy as np
import pytest
import scipy.io
from originals_expected import keys_of, prepare, refused, source_of, tfds_order

from hydra_peft import optional
from hydra_peft.workshop.prepare.originals.svhn import ORIGINAL

LIMITS = {"train800": 20, "val200": 4, "test": None}
N = {"train": 61, "test": 25}


@pytest.fixture
def arrays():
    random = np.random.RandomState(0)
    return {
        split: {
            "X": random.randint(0, 256, (32, 32, 3, n)).astype(np.uint8),
            "y": (np.arange(n) % 10 + 1).astype(np.uint8)[:, None],
        }
        for split, n in N.items()
    }


@pytest.fixture
def folder(tmp_path, arrays):
    for split, content in arrays.items():
        scipy.io.savemat(tmp_path / f"{split}_32x32.mat", content, do_compression=True)
    return tmp_path


def read(folder):
    return lambda: ORIGINAL.pools(source_of(ORIGINAL, folder), "svhn")


def test_membership_labels_and_pixels(folder, arrays):
    splits, notes = prepare(ORIGINAL, folder, LIMITS)
    train = tfds_order("train", range(61))
    assert keys_of(splits["train800"]) == train[:20]
    assert keys_of(splits["val200"]) == train[54:58]  # 90 % of 61 is 54.9
    assert keys_of(splits["test"]) == tfds_order("test", range(25))
    digit = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6, 7: 7, 8: 8, 9: 9, 10: 0}
    for split, name in (("train800", "train"), ("val200", "train"), ("test", "test")):
        for key, label, image in splits[split]:
            assert label == digit[int(arrays[name]["y"][key, 0])]
            assert image.mode == "RGB"
            assert np.array_equal(np.asarray(image), arrays[name]["X"][:, :, :, key])
    assert len(notes) == 2


def test_order_at_the_true_size():
    # reference/vtab1k.md, 3.1
    order = tfds_order("test", range(26_032))
    assert order[:5] == [23018, 16932, 19084, 9933, 24157]


def test_refuses_missing_files(folder):
    (folder / "test_32x32.mat").unlink()
    refused(read(folder), "test_32x32.mat", ORIGINAL.page)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: {"y": a["y"]}, ("'X'", "holds y")),
        (lambda a: {"X": a["X"]}, ("'y'",)),
        (lambda a: {**a, "y": a["y"][1:]}, ("61 images", "60 labels")),
        (lambda a: {**a, "y": np.where(np.arange(61) == 5, 11, 1)}, ("label 5", "11")),
        (lambda a: {**a, "y": np.where(np.arange(61) == 6, 0, 1)}, ("label 6", "is 0")),
        (lambda a: {**a, "y": np.where(np.arange(61) == 7, 1.5, 1)}, ("label 7", "1.5")),
        (lambda a: {**a, "X": a["X"].astype(float)}, ("float64", "uint8")),
        (lambda a: {**a, "X": a["X"][:31]}, ("31x32x3x61",)),
        (lambda a: {**a, "X": a["X"][..., 0]}, ("32x32x3",)),
        (lambda a: {**a, "X": "pixels"}, ("'X'", "numbers")),
    ],
)
def test_refuses_other_arrays(folder, arrays, change, words):
    path = folder / "train_32x32.mat"
    scipy.io.savemat(path, change(arrays["train"]))
    refused(read(folder), path, *words)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:0],
        lambda content: b"<html>not found</html>" + content[:0],
        lambda content: content[:1000],
        lambda content: content[:-100],
        lambda content: content[:5000] + b"\0" * 50 + content[5050:],
        lambda content: b"\x89HDF\r\n\x1a\n" + content,
    ],
)
def test_refuses_damaged_files(folder, damage):
    path = folder / "train_32x32.mat"
    path.write_bytes(damage(path.read_bytes()))
    refused(read(folder), path, "fetch it again")


def test_refuses_a_header_that_promises_too_much(folder):
    """A MATLAB 5 file of one uint8 array, declared as 300 GB of pixels in 8 bytes."""
    dims = (32, 32, 3, 100_000_000)
    matrix = struct.pack("<4I", 6, 8, 9, 0)  # miUINT32: class uint8
    matrix += struct.pack("<2I4i", 5, 16, *dims)  # miINT32
    matrix += struct.pack("<2H4s", 1, 1, b"X")  # miINT8, packed into its tag
    matrix += struct.pack("<2I8s", 2, 8, b"")  # miUINT8
    head = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H2s", 0x0100, b"IM")
    path = folder / "train_32x32.mat"
    path.write_bytes(head + struct.pack("<2I", 14, len(matrix)) + matrix)
    refused(read(folder), path, "32x32x3x100000000", "than")


def test_says_what_to_install(folder, monkeypatch):
    def absent(name):
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(optional.importlib, "import_module", absent)
    refused(read(folder), "scipy", "hydra-peft[prepare]")
