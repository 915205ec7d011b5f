"""One's own data, looked at before anyone trains on it."""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from class_folders import write_classes, write_images
from PIL import Image

from hydra_peft.cli import check_data
from hydra_peft.data.contact_sheet import contact_sheet

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Call:
    def call(*words: str) -> tuple[int, str, str]:
        usual = [f"out={tmp_path}/check.json"] * (
            not any(word.startswith("out=") for word in words)
        )
        given = [f"paths.cache={tmp_path}/cache", *usual, *words]
        monkeypatch.setattr(sys, "argv", ["scripts/check_data.py", *given])
        return (check_data.main(), *capfd.readouterr())

    return call


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    root = tmp_path / "pets"
    write_classes(root / "train", {"dog": 6, "cat": 4})
    write_classes(root / "val", {"dog": 1, "cat": 1}, seed=1)
    write_classes(root / "test", {"dog": 3, "cat": 2}, seed=2)
    return root


def test_what_is_right_is_counted_and_shown(check: Call, pets: Path, tmp_path: Path) -> None:
    Image.new("L", (30, 10)).save(pets / "train" / "dog" / "gray.png")
    code, out, err = check("dataset=folder", f"dataset.root={pets}")
    assert (code, err) == (0, "")
    assert "| dog     | 7       | 1     | 3      |" in out
    assert "| all     | 11      | 2     | 5      |" in out
    assert "width 8 to 30 (median 8), height 6 to 10 (median 6) pixels; modes: RGB 17, L 1" in out
    said = json.loads((tmp_path / "check.json").read_text())
    assert said["counts"]["cat"] == {"train": 4, "val": 1, "test": 2}
    assert said["problems"] == said["notes"] == said["duplicates"] == []
    with Image.open(tmp_path / "check.png") as sheet:
        assert sheet.format == "PNG"


def test_what_is_wrong_is_named(check: Call, pets: Path, tmp_path: Path) -> None:
    (pets / "train" / "dog" / "broken.jpg").write_text("no image")
    shutil.copy(pets / "train" / "dog" / "000.png", pets / "train" / "dog" / "copy.png")
    shutil.copy(pets / "train" / "dog" / "001.png", pets / "test" / "cat" / "seen.png")
    write_images(pets / "train" / "emu", 1, seed=99)
    write_images(pets / "train" / "Dog ", 1, seed=98)
    code, out, _ = check("dataset=folder", f"dataset.root={pets}")
    assert code == 1
    said = json.loads((tmp_path / "check.json").read_text())
    assert [one for one in said["unreadable"] if "dog/broken.jpg" in one]
    assert len(said["duplicates"]) == 2
    across = [f"train: {pets}/train/dog/001.png", f"test: {pets}/test/cat/seen.png"]
    assert across in said["duplicates"]
    problems = " ".join(said["problems"])
    assert "1 of 6 images of test are in train too" in problems
    assert "as 'dog' and" in problems
    assert "seen.png as 'cat'" in problems
    assert "class 'emu' has one image only, in train." in said["notes"]
    assert "classes 'Dog ' and 'dog' have nearly one name: are they one class?" in said["notes"]
    assert "dog/broken.jpg" in out


def test_a_contact_sheet_has_a_row_for_each_class(tmp_path: Path) -> None:
    for name, color in (("red", (255, 0, 0)), ("blue", (0, 0, 255))):
        (tmp_path / name).mkdir()
        Image.new("RGB", (200, 100), color).save(tmp_path / name / "0.png")
    files = {name: [tmp_path / name / "0.png"] for name in ("red", "blue")}
    files["red"].append(tmp_path / "missing.png")
    with Image.open(io.BytesIO(contact_sheet(files, each=2))) as sheet:
        pixels = np.asarray(sheet)
    rows = {
        color: set(np.nonzero((pixels == value).all(axis=2))[0] // 100)
        for color, value in (("red", (255, 0, 0)), ("blue", (0, 0, 255)))
    }
    assert rows == {"red": {0}, "blue": {1}}
    # proportions are kept: 96 by 48
    assert (pixels == (255, 0, 0)).all(axis=2).sum() == 96 * 48


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("dataset=mini/digits",), "digits has no encoded images by class"),
        (("dataset=folder",), "dataset.root has no value"),
        (("dataset=folder", "task=svhn"), "cannot understand 'task=svhn'"),
        (("dataset=folders",), "folders"),
        (("benchmark=own",), "cannot understand|unknown"),
        (
            ("dataset=folder", "dataset.root={pets}", "out={pets}/new/a.json"),
            "lies in .*pets, ",
        ),
        (("dataset=mini/digits", "out={pets}/a.txt"), "that ends in .json"),
        (("dataset=mini/digits", "out="), "out= has no value: leave it out, or give one"),
    ],
)
def test_a_mistake_is_one_sentence(
    check: Call, pets: Path, words: tuple[str, ...], said: str
) -> None:
    import re

    code, out, err = check(*(word.format(pets=pets) for word in words))
    assert (code, out) == (2, "")
    assert re.search(said, err)
    assert err.count("\n") == 1
