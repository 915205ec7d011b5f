import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from originals_expected import expected_order, prepared, refused, source_of

from hydra_peft.workshop.prepare.originals.dsprites import ORIGINAL

NAME = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.hdf5"
SIZE = 57
#: floor(c / 2.5), by hand: bins of 3, 2, 3, 2, ... classes
ORIENTATIONS = [
    *(0, 0, 0, 1, 1, 2, 2, 2, 3, 3, 4, 4, 4, 5, 5, 6, 6, 6, 7, 7),
    *(8, 8, 8, 9, 9, 10, 10, 10, 11, 11, 12, 12, 12, 13, 13, 14, 14, 14, 15, 15),
]
LOCATIONS = [place for place in range(16) for _ in range(2)]


def write(folder: Path, imgs: np.ndarray, classes: np.ndarray, **options: object) -> Path:
    path = folder / NAME
    with h5py.File(path, "w") as file:
        file.create_dataset("imgs", data=imgs, **options)
        file.create_dataset("latents/classes", data=classes)
        file.create_dataset("latents/values", data=classes.astype(np.float64))
    return path


@pytest.fixture
def made():
    rng = np.random.RandomState(2)
    imgs = rng.randint(0, 2, (SIZE, 64, 64)).astype(np.uint8)
    counts = (1, 3, 6, 40, 32, 32)
    classes = np.stack([rng.randint(0, n, SIZE) for n in counts], axis=1).astype(np.int64)
    classes[:40, 3] = range(40)
    classes[:32, 4] = range(32)
    return imgs, classes


@pytest.mark.parametrize(
    "options", [{"chunks": (23, 2, 4), "compression": "gzip"}, {"chunks": (100, 64, 64)}, {}]
)
@pytest.mark.parametrize("task", ["dsprites_loc", "dsprites_ori"])
def test_members_order_labels_and_pixels(tmp_path, made, task, options):
    imgs, classes = made
    if options.get("chunks") == (100, 64, 64):
        options = {**options, "maxshape": (None, 64, 64)}
    write(tmp_path, imgs, classes, **options)
    splits = prepared(ORIGINAL, task, tmp_path)
    order = expected_order(range(SIZE), "train")
    # 80, 10 and 10 percent: 57 * 80 // 100 is 45, 57 * 90 // 100 is 51
    for split, members in (
        ("train800", order[:4]),
        ("val200", order[45:48]),
        ("test", order[51:]),
    ):
        assert splits[split].keys == members
        labels = {
            "dsprites_loc": [LOCATIONS[c] for c in classes[members, 4]],
            "dsprites_ori": [ORIENTATIONS[c] for c in classes[members, 3]],
        }[task]
        assert splits[split].labels == labels
        for place, index in enumerate(members):
            assert splits[split].images[place].mode == "RGB"
            white = np.where(imgs[index] == 1, 255, 0)
            assert np.array_equal(splits[split].pixels(place), np.stack([white] * 3, axis=-1))


def pools(folder, task="dsprites_loc"):
    return ORIGINAL.pools(source_of(ORIGINAL, folder), task)


def test_missing_file(tmp_path):
    refused(lambda: pools(tmp_path), NAME, "dsprites-dataset")


def test_truncated_file(tmp_path, made):
    path = write(tmp_path, *made)
    path.write_bytes(path.read_bytes()[:-3000])
    refused(lambda: pools(tmp_path), path, "again")


def test_the_npz_under_this_name(tmp_path, made):
    with (tmp_path / NAME).open("wb") as file:
        np.savez(file, imgs=made[0])
    refused(lambda: pools(tmp_path), tmp_path / NAME, "HDF5")


def test_counts_that_differ(tmp_path, made):
    path = write(tmp_path, made[0], made[1][:-1])
    refused(lambda: pools(tmp_path), path, "57", "56")


@pytest.mark.parametrize(
    ("task", "column", "value"), [("dsprites_loc", 4, 32), ("dsprites_ori", 3, -1)]
)
def test_class_out_of_range(tmp_path, made, task, column, value):
    imgs, classes = made
    classes[13, column] = value
    path = write(tmp_path, imgs, classes)
    refused(lambda: pools(tmp_path, task), path, "image 13", value)


def test_grey_pixels(tmp_path, made):
    imgs, classes = made
    imgs[41, 5, 6] = 255
    path = write(tmp_path, imgs, classes, chunks=(10, 8, 8))
    image = pools(tmp_path)["train"].image
    refused(lambda: image(0), path, "image 41", "255")


def test_damaged_chunk(tmp_path, made):
    path = write(tmp_path, *made, chunks=(10, 32, 32), compression="gzip")
    with h5py.File(path) as file:
        chunk = file["imgs"].id.get_chunk_info(5)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset : chunk.byte_offset + chunk.size] = bytes(chunk.size)
    path.write_bytes(content)
    image = pools(tmp_path)["train"].image
    refused(lambda: image(0), path, "imgs")


def test_a_shape_that_would_fill_the_memory(tmp_path, made):
    path = tmp_path / NAME
    with h5py.File(path, "w") as file:
        file.create_dataset("imgs", (10**9, 64, 64), "u1", chunks=(100, 64, 64))
        file.create_dataset("latents/classes", data=made[1])
    refused(lambda: pools(tmp_path), path, "1000000000", "737280")


def test_without_the_package_that_reads_the_file(tmp_path, made, monkeypatch):
    write(tmp_path, *made)
    monkeypatch.setitem(sys.modules, "h5py", None)
    refused(lambda: pools(tmp_path), "h5py", "pip install 'hydra-peft[prepare]'")
