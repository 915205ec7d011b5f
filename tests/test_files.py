"""Files are whole, and on the disk when they are said to be."""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path

import pytest

from hydra_peft.errors import UserError
from hydra_peft.files import atomic_write, content_of, read_json, real_path


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """What is synced and renamed, in order, with its inode."""
    seen: list[tuple[str, int]] = []
    replace, fsync = os.replace, os.fsync

    def replaced(source: str, target: Path) -> None:
        replace(source, target)
        seen.append(("rename", target.stat().st_ino))

    def synced(descriptor: int) -> None:
        fsync(descriptor)
        state = os.fstat(descriptor)
        seen.append(("folder" if stat.S_ISDIR(state.st_mode) else "file", state.st_ino))

    monkeypatch.setattr(os, "replace", replaced)
    monkeypatch.setattr(os, "fsync", synced)
    return seen


def test_content_then_name_are_synced(tmp_path: Path, calls: list[tuple[str, int]]) -> None:
    path = tmp_path / "file"
    atomic_write(path, b"1")
    inode = path.stat().st_ino
    assert calls == [("file", inode), ("rename", inode), ("folder", tmp_path.stat().st_ino)]


def test_folders_that_are_made_are_synced_too(tmp_path: Path, calls: list[tuple[str, int]]) -> None:
    atomic_write(tmp_path / "a" / "b" / "file", b"1")
    names = [tmp_path / "a" / "b", tmp_path / "a", tmp_path]
    assert calls[2:] == [("folder", folder.stat().st_ino) for folder in names]


def test_a_file_system_that_syncs_no_folders_still_takes_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync

    def refusing(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", refusing)
    atomic_write(tmp_path / "file", b"1")
    assert (tmp_path / "file").read_bytes() == b"1"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_path_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there")
    (tmp_path / "circle").symlink_to("circle")
    assert real_path(Path("~/link/a")) == real_path(tmp_path) / "there" / "a"
    assert real_path(tmp_path / "circle").name == "circle"


def test_what_is_in_the_place_of_a_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(tmp_path / "socket"))
    (tmp_path / "device").symlink_to(os.devnull)
    for name in ("folder", "pipe", "socket", "device"):
        said = f"{name} is no ordinary file but a {name}: move it away, and put the file there"
        with pytest.raises(UserError, match=said):
            content_of(tmp_path / name, 1, links=True)


def test_json_may_begin_with_a_mark_of_its_encoding(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf{}")  # as some editors save it
    assert read_json(tmp_path / "a.json") == {}
