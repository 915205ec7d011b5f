"""Each thing that can be wrong with prepared data is found and named."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from prepared_root import write_task

from hydra_peft.data.checking import TaskReport, check_prepared
from hydra_peft.data.sources import DataRequest
from hydra_peft.data.split_roles import BEFORE

SPLITS = ("train800", "val200", "train", "test")
SIZES = {"train800": 8, "val200": 4, "train": 12, "test": 10}


def check(root: Path, decode: bool = True, partial: bool = False) -> TaskReport:
    task = DataRequest("vtab1k", "dtd", "dtd", (), 3, root, root / "cache", SPLITS)
    return check_prepared(task, SIZES, BEFORE, decode=decode, allow_partial=partial)


def test_good_data(tmp_path: Path) -> None:
    write_task(tmp_path / "dtd", classes=3)
    report = check(tmp_path)
    assert (report.status, report.problems, report.notes) == ("ok", [], [])
    assert {name: split.count for name, split in report.splits.items()} == SIZES
    assert report.splits["test"].labels == {0: 4, 1: 3, 2: 3}
    assert (report.overlap, report.lineage) == (0, "archive")
    assert report.sha256 is not None
    assert check(tmp_path, decode=False) == report


def test_missing(tmp_path: Path) -> None:
    report = check(tmp_path)
    assert report.status == "missing"
    assert "no folder 'dtd'" in report.problems[0]


def truncate(folder: Path) -> None:
    file = folder / "images/test/000003.jpg"
    file.write_bytes(file.read_bytes()[:500])


def label(folder: Path) -> None:
    path = folder / "test.txt"
    path.write_text(path.read_text().replace("000000.jpg 0", "000000.jpg 3"))


def fewer(folder: Path) -> None:
    path = folder / "test.txt"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


def overlap(folder: Path) -> None:
    shutil.copy(folder / "images/train800val200/000001.jpg", folder / "images/test/000001.jpg")


def leak(folder: Path) -> None:
    shutil.copy(folder / "images/train800/000001.jpg", folder / "images/val200/000002.jpg")
    shutil.copy(folder / "images/train800/000001.jpg", folder / "images/train800val200/000010.jpg")


def leak_to_test(folder: Path) -> None:
    shutil.copy(folder / "images/val200/000001.jpg", folder / "images/test/000003.jpg")


def relabel(folder: Path) -> None:
    path = folder / "train800.txt"
    path.write_text(path.read_text().replace(".jpg 2", ".jpg 0"))
    path = folder / "val200.txt"
    path.write_text(path.read_text().replace("0.jpg 0", "0.jpg 1"))


def list_twice(folder: Path) -> None:
    path = folder / "test.txt"
    path.write_text(path.read_text().replace("000001.jpg 1", "000000.jpg 1"))


def two_labels(folder: Path) -> None:
    path = folder / "val200.txt"
    path.write_text(path.read_text().replace("val200/000001.jpg", "train800/000000.jpg"))


def link_out(folder: Path) -> None:
    path = folder / "images/test/000003.jpg"
    path.rename(folder.parent / "elsewhere.jpg")
    path.symlink_to(folder.parent / "elsewhere.jpg")


def pipe(folder: Path) -> None:
    (folder / "images/test/000003.jpg").unlink()
    os.mkfifo(folder / "images/test/000003.jpg")


def pipe_as_manifest(folder: Path) -> None:
    os.mkfifo(folder / "manifest.json")


def other_train(folder: Path) -> None:
    shutil.copy(folder / "images/test/000001.jpg", folder / "images/val200/000001.jpg")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate, "1 image of test is unreadable: cannot read the image"),
        (
            lambda folder: (folder / "images/test/000003.jpg").unlink(),
            "1 image of test cannot be used: cannot read",
        ),
        (label, "test.txt, line 1: label 3 is outside 0 to 2"),
        (fewer, "test lists 9 images, expected 10."),
        (overlap, "1 of 10 images of test are in train too."),
        (leak, "1 of 4 images of val200 are in train800 too."),
        (leak_to_test, "1 of 4 images of val200 are in test too."),
        (relabel, "3 images of train800 and val200 have another label in train."),
        (list_twice, "line 2: 'images/test/000000.jpg' stands already in line 1"),
        (two_labels, "1 file is listed with two labels: "),
        (link_out, "1 image of test cannot be used: "),
        (pipe, "1 image of test cannot be used: "),
        (pipe_as_manifest, "manifest.json is no ordinary file"),
        (other_train, "train800 and val200 together are not the images of train."),
        (lambda folder: (folder / "val200.txt").unlink(), "lacks its split 'val200'"),
    ],
)
def test_what_is_wrong(tmp_path: Path, damage: Callable[[Path], None], message: str) -> None:
    write_task(tmp_path / "dtd", classes=3)
    damage(tmp_path / "dtd")
    report = check(tmp_path)
    assert report.status == "wrong"
    assert any(message in problem for problem in report.problems), report.problems


def test_unreadable_images_are_all_named(tmp_path: Path) -> None:
    write_task(tmp_path / "dtd", classes=3)
    for number in (2, 5):
        (tmp_path / f"dtd/images/test/00000{number}.jpg").write_bytes(b"no image")
    named = check(tmp_path).splits["test"].unreadable
    assert [Path(sentence.split(": ")[0]).stem for sentence in named] == ["000002", "000005"]
    assert check(tmp_path, decode=False).status == "ok"


def test_absent_classes_are_a_note(tmp_path: Path) -> None:
    write_task(tmp_path / "dtd", classes=2)
    report = check(tmp_path)
    assert report.status == "ok"
    assert "1 of 3 classes has no image in test." in report.notes


def test_equal_images_of_different_labels_are_a_note(tmp_path: Path) -> None:
    """Public data sets hold some; which label is right is not ours to say."""
    write_task(tmp_path / "dtd", classes=3)
    images = tmp_path / "dtd/images/test"
    shutil.copy(images / "000001.jpg", images / "000002.jpg")
    shutil.copy(images / "000003.jpg", images / "000006.jpg")  # of one label
    report = check(tmp_path)
    assert (report.status, report.problems) == ("ok", [])
    assert report.notes == ["1 image is there twice with different labels."]
    assert report.splits["test"].duplicates == 2


def test_few_shared_images_are_a_note(tmp_path: Path) -> None:
    write_task(tmp_path / "dtd", classes=3, test=200, train800=200, val200=4)
    for number in (0, 3):
        shutil.copy(
            tmp_path / f"dtd/images/train800val200/00000{number}.jpg",
            tmp_path / f"dtd/images/test/00000{number}.jpg",
        )
    report = check(tmp_path, partial=True)
    assert report.status == "ok"
    assert [note for note in report.notes if "too" in note] == [
        "2 of 200 images of test are in train too."
    ]
    assert report.overlap == 2


def test_an_incomplete_original_is_a_fault_unless_allowed(tmp_path: Path) -> None:
    write_task(tmp_path / "dtd", classes=3)
    said = {"schema": 1, "partial": True, "notes": ["Odd."], "lists": {}, "splits": {}}
    (tmp_path / "dtd" / "manifest.json").write_text(json.dumps(said))
    report = check(tmp_path)
    assert report.status == "wrong"
    assert "prepared from an incomplete original" in report.problems[0]
    report = check(tmp_path, partial=True)
    assert report.status == "ok"
    assert "prepared from an incomplete original" in report.notes[0]
    assert "Odd." in report.notes


def test_manifests_that_are_no_manifests(tmp_path: Path) -> None:
    write_task(tmp_path / "dtd", classes=3)
    path = tmp_path / "dtd" / "manifest.json"
    right = {"schema": 1, "partial": False, "notes": [], "lists": {}, "splits": {}}
    path.write_text(json.dumps(right))
    assert not any("is not a manifest" in p for p in check(tmp_path).problems)
    too_many = right | {"notes": ["more than a record takes"] * 20_000}
    for content in ({}, {"schema": 1, "lists": {"../x": "0"}}, {"schema": 2}, too_many):
        path.write_text(json.dumps(content))
        report = check(tmp_path)
        assert report.lineage == "originals"
        assert any("is not a manifest of schema 1" in p for p in report.problems)
