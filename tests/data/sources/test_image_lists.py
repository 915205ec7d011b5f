"""Prepared data as it is on disk."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from hydra_peft.data.list_files import read_list
from hydra_peft.data.overlap import check_labels
from hydra_peft.data.promises import LabelRange
from hydra_peft.data.sources import DataRequest, labels_of, load_task
from hydra_peft.errors import UserError

SPLITS = ("train800", "val200", "train", "test")
COUNTS = {"train800": 3, "val200": 2, "train800val200": 5, "test": 4}


def task(root: Path, **changes: object) -> DataRequest:
    plain = DataRequest(
        "vtab1k", "cifar100", "cifar", ("cifar100",), 5, root, root / "cache", SPLITS
    )
    return dataclasses.replace(plain, **changes)


def write(folder: Path, colour: int = 0) -> None:
    for split, count in COUNTS.items():
        (folder / "images" / split).mkdir(parents=True)
        names = [f"images/{split}/{n:06d}.jpg" for n in range(count)]
        for n, name in enumerate(names):
            Image.new("RGB", (9, 7), (40 * n, colour, len(split))).save(folder / name)
        lines = "".join(f"{name} {n}\n" for n, name in enumerate(names))
        (folder / f"{split}.txt").write_text(lines)


@pytest.mark.parametrize("place", ["vtab1k/cifar", "vtab-1k/cifar", "cifar", "vtab1k/cifar100"])
def test_folders_and_aliases(tmp_path: Path, place: str) -> None:
    write(tmp_path / place)
    seen = labels_of("image_lists", task(tmp_path))
    assert seen.splits["train"] == LabelRange(5, 0, 4)
    assert (seen.lineage, seen.partial) == ("archive", False)
    data = load_task("image_lists", task(tmp_path))
    assert {name: len(split) for name, split in data.splits.items()} == {
        "train800": 3,
        "val200": 2,
        "train": 5,
        "test": 4,
    }
    assert data.splits["test"].targets.tolist() == [0, 1, 2, 3]
    assert data.splits["test"].inputs["image"].pixels(2).shape == (7, 9, 3)
    assert data.lineage == "archive"


def test_what_a_manifest_says_goes_with_the_data(tmp_path: Path) -> None:
    write(tmp_path / "cifar")
    path = tmp_path / "cifar" / "manifest.json"
    said = {"schema": 1, "partial": True, "notes": ["Not VTAB-1k's."], "lists": {}, "splits": {}}
    path.write_text(json.dumps(said))
    described = load_task("image_lists", task(tmp_path)).describe()
    assert described["lineage"] == "originals"
    assert described["partial"] is True
    assert described["notes"] == ["Not VTAB-1k's."]
    seen = labels_of("image_lists", task(tmp_path))
    assert (seen.lineage, seen.partial) == ("originals", True)
    path.write_text(json.dumps({**said, "partial": "yes"}))
    with pytest.raises(UserError, match=r"manifest\.json is not a manifest of schema 1"):
        load_task("image_lists", task(tmp_path))


def test_the_hash_is_of_content_and_order_not_of_names(tmp_path: Path) -> None:
    def loaded(root: Path) -> dict[str, object]:
        return load_task("image_lists", task(root)).describe()

    one, same, other, turned = (tmp_path / name for name in "abcd")
    for root in (one, same, turned):
        write(root / "cifar")
    write(other / "cifar", colour=99)
    (same / "cifar" / "images" / "test").rename(same / "cifar" / "images" / "moved")
    path = same / "cifar" / "test.txt"
    path.write_text(path.read_text().replace("images/test", "images/moved"))
    path = turned / "cifar" / "test.txt"
    path.write_text("".join(reversed(path.read_text().splitlines(keepends=True))))
    assert loaded(same) == loaded(one)
    hashes = {str(loaded(root)["sha256"]) for root in (one, other, turned)}
    assert len(hashes) == 3
    # Stated independently: hash of the files' hashes, then of that text and the labels.
    files = [one / "cifar" / f"images/test/{n:06d}.jpg" for n in range(4)]
    content = hashlib.sha256(
        b"".join(hashlib.sha256(f.read_bytes()).digest() for f in files)
    ).hexdigest()
    labels = b"".join(n.to_bytes(8, "little") for n in range(4))
    whole = hashlib.sha256(content.encode() + labels).hexdigest()
    assert loaded(one)["splits"]["test"] == whole  # type: ignore[index]


@pytest.mark.parametrize(
    ("put", "label", "said"),
    [
        (os.symlink, 1, "is the same file as .*000000.jpg, a link, and has another label: mend"),
        (os.link, 1, "is the same file as .*000000.jpg, a link, and has another label: mend"),
        (os.link, 0, ""),
        (shutil.copy, 1, "1 image is in test a second time with another label."),
        (shutil.copy, 0, ""),
    ],
)
def test_a_picture_with_two_names_and_two_labels(
    tmp_path: Path, put: Callable[[Path, Path], object], label: int, said: str
) -> None:
    """Copies are in public data too: they are noted."""
    write(tmp_path / "cifar")
    first, second = (tmp_path / "cifar" / "images/test" / f"00000{n}.jpg" for n in (0, 1))
    second.unlink()
    put(first, second)
    file = tmp_path / "cifar" / "test.txt"
    file.write_text(file.read_text().replace("000001.jpg 1", f"000001.jpg {label}"))
    data = load_task("image_lists", task(tmp_path))
    if said.endswith("mend"):
        with pytest.raises(UserError, match=said):
            check_labels(data, "x")
    else:
        assert check_labels(data, "x") == [said] * bool(said)


def test_train_is_made_of_its_parts_where_its_own_list_is_missing(tmp_path: Path) -> None:
    write(tmp_path / "cifar")
    (tmp_path / "cifar" / "train800val200.txt").unlink()
    data = load_task("image_lists", task(tmp_path))
    assert data.splits["train"].targets.tolist() == [0, 1, 2, 0, 1]


def test_what_is_missing_is_said_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        labels_of("image_lists", task(tmp_path))
    assert "no folder 'cifar'" in str(caught.value)
    assert "prepare_data.py vtab1k task=cifar100" in str(caught.value)
    write(tmp_path / "cifar")
    (tmp_path / "cifar" / "val200.txt").unlink()
    labels_of("image_lists", task(tmp_path, splits=("train", "test")))
    with pytest.raises(UserError, match=r"val200\.txt is missing: .* lacks its split 'val200'"):
        labels_of("image_lists", task(tmp_path))
    (tmp_path / "cifar" / "images" / "test" / "000002.jpg").unlink()
    data = load_task("image_lists", task(tmp_path, splits=("test",)))
    with pytest.raises(UserError, match=r"000002\.jpg: no such file"):
        data.describe()


def test_folders_that_are_given_by_mistake(tmp_path: Path) -> None:
    write(tmp_path / "cifar")
    with pytest.raises(UserError, match=r"is the folder of a task itself: set paths\.data "):
        labels_of("image_lists", task(tmp_path / "cifar"))
    for file in (tmp_path / "cifar").glob("*.txt"):
        file.unlink()
    with pytest.raises(UserError, match=r"is no prepared task: it has none of the list files"):
        labels_of("image_lists", task(tmp_path))


@pytest.mark.parametrize("marks", [0, 1, 2])
def test_lists_as_people_write_them(tmp_path: Path, marks: int) -> None:
    file = tmp_path / "list.txt"
    file.write_bytes(
        b"\xef\xbb\xbf" * marks
        + b"images/a.jpg 0\r\n\r\nimages/b.jpg\t3\r\n  images/c d.jpg   +2  \n"
        + b"images\\test\\e.jpg 1"
    )
    found = read_list(file, 4)
    assert found.paths == ["images/a.jpg", "images/b.jpg", "images/c d.jpg", "images/test/e.jpg"]
    assert found.labels == [0, 3, 2, 1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a.jpg 0\nb.jpg 4\n", r"line 2: label 4 is outside 0 to 3"),
        (b"a.jpg -1\n", r"line 1: label -1 is outside"),
        (b"a.jpg 1.0\n", r"line 1: expected an image path and an integer label"),
        (b"a.jpg\n", r"line 1: expected"),
        (b"../a.jpg 0\n", r"line 1: the path '\.\./a\.jpg' leads out of the task's folder"),
        (b"images/../../a.jpg 0\n", r"leads out"),
        (b"images/../images/a.jpg 0\n", r"line 1: .* has '\.\.' in it: write it as 'images/a.jpg'"),
        (b"..\\a.jpg 0\n", r"leads out"),
        (b"/etc/passwd 0\n", r"leads out"),
        (b"a.jpg " + b"1" * 5000 + b"\n", r"line 1: expected an image path and an integer label"),
        ("a.jpg \u0663\n".encode(), r"line 1: expected an image path and an integer label"),
        (b"a\0.jpg 0\n", r"line 1: the path 'a\\x00\.jpg' holds a zero byte"),
        (b"a.jpg 0\n./a.jpg 0\n", r"line 2: 'a\.jpg' stands already in line 1"),
        (b"a.jpg 0\r\n\r\na.jpg 1\r\n", r"line 3: 'a\.jpg' stands already in line 1"),
        ("a.jpg 0\n".encode("utf-16"), r"is not a text file"),
        (b"C:/a.jpg 0\n", r"leads out"),
        (b"\n \n", r"lists no image"),
        (b"\xff\xfe\x00", r"is not a text file"),
    ],
)
def test_lists_that_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "list.txt"
    file.write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_list(file, 4)


def test_files_that_are_no_lists(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read"):
        read_list(tmp_path / "none.txt", 4)
    os.mkfifo(tmp_path / "pipe.txt")
    for file in (tmp_path / "pipe.txt", Path("/dev/zero"), tmp_path):
        with pytest.raises(UserError, match="no ordinary file"):
            read_list(file, 4)
    with (tmp_path / "large.txt").open("wb") as large:
        large.truncate(2**40)
    with pytest.raises(UserError, match="larger than"):
        read_list(tmp_path / "large.txt", 4)


def listed_in_two_splits(folder: Path) -> None:
    path = folder / "val200.txt"
    path.write_text(path.read_text().replace("val200/000001.jpg", "train800/000000.jpg"))


def list_linked(folder: Path) -> None:
    (folder / "test.txt").rename(folder.parent / "test.txt")
    (folder / "test.txt").symlink_to(folder.parent / "test.txt")


def list_is_a_pipe(folder: Path) -> None:
    (folder / "test.txt").unlink()
    os.mkfifo(folder / "test.txt")


def list_dangling(folder: Path) -> None:
    (folder / "test.txt").unlink()
    (folder / "test.txt").symlink_to(folder / "none.txt")


def manifest_linked(folder: Path) -> None:
    (folder / "manifest.json").symlink_to("/etc/passwd")


def manifest_dangling(folder: Path) -> None:
    (folder / "manifest.json").symlink_to(folder / "none.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (listed_in_two_splits, r"1 file is listed with two labels, such as .*000000\.jpg"),
        (list_linked, r"test\.txt is, or lies behind, a link that leads out"),
        (list_is_a_pipe, r"test\.txt is no ordinary file"),
        (list_dangling, r"test\.txt: no such file"),
        (manifest_linked, r"manifest\.json is, or lies behind, a link that leads out"),
        (manifest_dangling, r"manifest\.json: no such file"),
        (lambda folder: os.mkfifo(folder / "manifest.json"), "no ordinary file"),
    ],
)
def test_folders_that_are_refused(
    tmp_path: Path, change: Callable[[Path], object], message: str
) -> None:
    write(tmp_path / "cifar")
    change(tmp_path / "cifar")
    with pytest.raises(UserError, match=message):
        load_task("image_lists", task(tmp_path))


def test_a_root_whose_name_is_no_utf8_is_one_like_others(tmp_path: Path) -> None:
    for name in ("plain", os.fsdecode(b"l\xe4ufe")):
        write(tmp_path / name / "cifar")
        data = load_task("image_lists", task(tmp_path / name))
        assert data.splits["test"].inputs["image"].pixels(2).shape == (7, 9, 3)
