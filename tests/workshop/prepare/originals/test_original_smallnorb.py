import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from originals_expected import expected_order, prepared, refused, source_of

from hydra_peft.workshop.prepare.originals.smallnorb import ORIGINAL

TASKS = ("smallnorb_azim", "smallnorb_elev")
STEMS = {
    "train": "smallnorb-5x46789x9x18x6x2x96x96-training",
    "test": "smallnorb-5x01235x9x18x6x2x96x96-testing",
}
SIZES = {"train": 14, "test": 11}


def matrix(values: np.ndarray) -> bytes:
    """The binary matrix format of the data's page, written from its description."""
    magic, code = {"uint8": (507333717, "B"), "int32": (507333716, "i")}[str(values.dtype)]
    lengths = list(values.shape) + [1] * (3 - values.ndim)
    header = struct.pack("<ii", magic, values.ndim) + struct.pack(f"<{len(lengths)}i", *lengths)
    return header + struct.pack(f"<{values.size}{code}", *values.reshape(-1).tolist())


def path(folder: Path, pool: str, kind: str) -> Path:
    return folder / f"{STEMS[pool]}-{kind}.mat"


@pytest.fixture
def originals(tmp_path):
    rng = np.random.RandomState(1)
    made = {}
    for pool, size in SIZES.items():
        dat = rng.randint(0, 256, (size, 2, 96, 96)).astype(np.uint8)
        columns = [rng.randint(0, 10, size), rng.randint(0, 9, size), rng.randint(0, 18, size) * 2]
        info = np.stack([*columns, rng.randint(0, 6, size)], axis=1).astype(np.int32)
        info[0, 1:3] = 8, 34
        path(tmp_path, pool, "dat").write_bytes(matrix(dat))
        path(tmp_path, pool, "info").write_bytes(matrix(info))
        made[pool] = dat, info
    return tmp_path, made


def check(folder, made, task):
    splits = prepared(ORIGINAL, task, folder)
    train = expected_order(range(14), "train")
    test = expected_order(range(11), "test")
    # the first half of the official test set validates, the second tests: 11 // 2 is 5
    for split, pool, order in (
        ("train800", "train", train[:4]),
        ("val200", "test", test[:3]),
        ("test", "test", test[5:]),
    ):
        dat, info = made[pool]
        column = {
            "smallnorb_azim": [int(value) // 2 for value in info[:, 2]],
            "smallnorb_elev": [int(value) for value in info[:, 1]],
        }[task]
        assert splits[split].keys == order
        assert splits[split].labels == [column[i] for i in order]
        for place, index in enumerate(order):
            pixels = splits[split].pixels(place)
            assert splits[split].images[place].mode == "RGB"
            assert np.array_equal(pixels, np.stack([dat[index, 0]] * 3, axis=-1))


@pytest.mark.parametrize("task", TASKS)
def test_members_order_labels_and_pixels(originals, task):
    check(*originals, task)


def test_packed_files_are_unpacked(originals):
    folder, made = originals
    for file in sorted(folder.glob("*.mat")):
        (folder / f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes(), 1))
        file.unlink()
    check(folder, made, "smallnorb_azim")


def test_all_labels_are_reached(originals):
    folder, _ = originals
    info = np.zeros((14, 4), np.int32)
    info[:9, 1] = range(9)
    info[:, 2] = range(0, 28, 2)
    path(folder, "train", "info").write_bytes(matrix(info))
    labels = [pools(folder, task)["train"].labels.tolist() for task in TASKS]
    assert labels == [list(range(14)), [*range(9), 0, 0, 0, 0, 0]]


def pools(folder, task="smallnorb_azim"):
    return ORIGINAL.pools(source_of(ORIGINAL, folder), task)


def test_missing_file(originals):
    folder, _ = originals
    path(folder, "test", "dat").unlink()
    refused(lambda: pools(folder), f"{STEMS['test']}-dat.mat", "cs.nyu.edu")


@pytest.mark.parametrize("keep", [0, 7, 20, -1])
def test_truncated_file(originals, keep):
    folder, _ = originals
    file = path(folder, "train", "dat")
    file.write_bytes(file.read_bytes()[:keep])
    refused(lambda: pools(folder), file, "again")


def test_longer_than_its_header_says(originals):
    folder, _ = originals
    file = path(folder, "train", "info")
    content = file.read_bytes()
    file.write_bytes(content + b"\0")
    refused(lambda: pools(folder), file, len(content), len(content) + 1)


@pytest.mark.parametrize(
    "header",
    [
        struct.pack("<6i", 507333715, 4, 14, 2, 96, 96),  # a matrix of another type
        struct.pack("<6i", 0x4D41544C, 4, 14, 2, 96, 96),  # no such matrix
        struct.pack("<6i", 507333717, 4, 14, 1, 96, 96),  # one camera
        struct.pack("<6i", 507333717, 3, 14, 2, 96, 96),
        struct.pack("<6i", 507333717, 2**31 - 1, 14, 2, 96, 96),
        struct.pack("<6i", 507333717, -1, 14, 2, 96, 96),
        struct.pack("<6i", 507333717, 4, -14, 2, 96, 96),
        struct.pack("<6i", 507333717, 4, 0, 2, 96, 96),
        struct.pack("<6i", 507333717, 4, 2**31 - 1, 2, 96, 96),  # 40 TB
    ],
)
def test_wrong_header(originals, header):
    folder, _ = originals
    file = path(folder, "train", "dat")
    file.write_bytes(header + file.read_bytes()[24:])
    refused(lambda: pools(folder), file, "again")


def test_counts_that_differ(originals):
    folder, made = originals
    path(folder, "test", "info").write_bytes(matrix(made["test"][1][:-2]))
    refused(lambda: pools(folder), path(folder, "test", "dat"), "11", "9 rows")


@pytest.mark.parametrize(
    ("task", "column", "value"),
    [
        ("smallnorb_azim", 2, 3),
        ("smallnorb_azim", 2, 36),
        ("smallnorb_azim", 2, -2),
        ("smallnorb_elev", 1, 9),
        ("smallnorb_elev", 1, -1),
    ],
)
def test_label_out_of_range(originals, task, column, value):
    folder, made = originals
    info = made["train"][1].copy()
    info[6, column] = value
    path(folder, "train", "info").write_bytes(matrix(info))
    refused(lambda: pools(folder, task), path(folder, "train", "info"), "row 6", f"is {value},")
