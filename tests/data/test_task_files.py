"""What may lie in a task's folder: ordinary files, and links within it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hydra_peft.data.task_files import TaskFiles
from hydra_peft.errors import UserError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "task/images").mkdir(parents=True)
    (tmp_path / "task/images/a.jpg").write_bytes(b"12345")
    (tmp_path / "secret.jpg").write_bytes(b"1")
    (tmp_path / "task-2").mkdir()  # begins with the task's name, and is no part of it
    (tmp_path / "task-2/a.jpg").write_bytes(b"1")
    return tmp_path / "task"


def test_files_and_links_within(folder: Path) -> None:
    (folder / "b.jpg").symlink_to("images/a.jpg")
    (folder / "more").symlink_to(folder / "images")
    for name in ("images/a.jpg", "b.jpg", "more/a.jpg"):
        assert TaskFiles(folder).status(folder / name).st_size == 5


def test_the_folder_itself_may_be_a_link(folder: Path) -> None:
    link = folder.parent / "link"
    link.symlink_to(folder)
    assert TaskFiles(link).status(link / "images/a.jpg").st_size == 5


@pytest.mark.parametrize("target", ["../secret.jpg", "../task-2/a.jpg", "/etc/passwd"])
@pytest.mark.parametrize("indirect", [True, False])
def test_links_out(folder: Path, target: str, indirect: bool) -> None:
    (folder / "b.jpg").symlink_to(target)
    (folder / "c.jpg").symlink_to("b.jpg")
    with pytest.raises(UserError, match="leads out of the task's folder"):
        TaskFiles(folder).status(folder / ("c.jpg" if indirect else "b.jpg"))


def test_folders_that_are_links_out(folder: Path) -> None:
    (folder / "more").symlink_to(folder.parent / "task-2")
    with pytest.raises(UserError, match=r"more/a\.jpg is, or lies behind, a link that leads out"):
        TaskFiles(folder).status(folder / "more/a.jpg")


def test_what_is_no_ordinary_file(folder: Path) -> None:
    os.mkfifo(folder / "pipe.jpg")
    (folder / "loop.jpg").symlink_to("loop.jpg")
    (folder / "dangling.jpg").symlink_to("none.jpg")
    with (folder / "large.jpg").open("wb") as large:
        large.truncate(2**40)
    expected = {
        "pipe.jpg": "is no ordinary file but a pipe: fetch or prepare it again",
        "images": "is no ordinary file but a folder: fetch or prepare it again",
        "loop.jpg": "Too many levels",
        "dangling.jpg": "no such file",
        "none.jpg": "no such file",
        "images/a.jpg/b.jpg": "Not a directory",
        "n" * 300: "File name too long",
        "large.jpg": "is larger than",
    }
    for name, message in expected.items():
        with pytest.raises(UserError, match=message):
            TaskFiles(folder).status(folder / name)
