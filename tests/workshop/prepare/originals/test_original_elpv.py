import io
import os
import zipfile

import numpy as np
import pytest
from originals_expected import prepared, refused, source_of, tfds_order
from PIL import Image

from hydra_peft.workshop.prepare.originals.elpv import ORIGINAL, WHEEL

LIMITS = {"train800": 30, "val200": 7, "test": None}
LEVELS = ("0.0", "0.3333333333333333", "0.6666666666666666", "1.0")
NAMES = [f"images/cell{i:04d}.png" for i in range(1, 101)]


def png(value):
    file = io.BytesIO()
    Image.fromarray(np.full((9, 9), value, np.uint8)).save(file, "PNG")
    return file.getvalue()


def lines():
    return [
        f"{name}  {LEVELS[i % 4]:20}{'mono' if i % 3 else 'poly'}" for i, name in enumerate(NAMES)
    ]


@pytest.fixture
def folder(tmp_path):
    with zipfile.ZipFile(tmp_path / WHEEL, "w") as archive:
        archive.writestr("elpv_dataset/data/labels.csv", "\n".join(lines()) + "\n")
        for i, name in enumerate(NAMES):
            archive.writestr(f"elpv_dataset/data/{name}", png(i))
    return tmp_path


@pytest.mark.parametrize("task", ["elpv", "elpv_type"])
def test_membership_labels_and_pixels(folder, task):
    splits = prepared(ORIGINAL, task, folder, LIMITS)
    order = tfds_order("train", NAMES)
    expected = {"train800": order[:30], "val200": order[31:38], "test": order[39:]}
    for split, names in expected.items():
        found = splits[split]
        assert found.keys == names
        for key, label, image in zip(found.keys, found.labels, found.images, strict=True):
            place = NAMES.index(key)
            assert label == (place % 4 if task == "elpv" else int(place % 3 == 0))
            assert image == png(place)
    source = source_of(ORIGINAL, folder)
    ORIGINAL.pools(source, task)
    assert "100 images where 2,624 were published" in " ".join(source.notes)


@pytest.mark.parametrize(
    "line",
    [
        "images/cell0001.png 0.5 mono",
        "images/cell0001.png 1.0 multi",
        "images/cell0001.png 1.0",
        "../secret.png 1.0 mono",
        "images/../secret.png 1.0 mono",
        "/etc/passwd 1.0 mono",
    ],
)
def test_wrong_lines(tmp_path, line):
    (tmp_path / "labels.csv").write_text("\n".join([*lines()[:2], line]))
    read = lambda: ORIGINAL.pools(source_of(ORIGINAL, tmp_path), "elpv")  # noqa: E731
    refused(read, "labels.csv, line 3: expected a path below images/")


def test_an_image_that_is_a_pipe(tmp_path):
    (tmp_path / "labels.csv").write_text("\n".join(lines()) + "\n")
    (tmp_path / "images").mkdir()
    os.mkfifo(tmp_path / NAMES[0])
    pool = ORIGINAL.pools(source_of(ORIGINAL, tmp_path), "elpv")["train"]
    refused(lambda: pool.image(0), NAMES[0], "is no ordinary file")
