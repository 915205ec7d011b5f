"""What is said of a disk that takes nothing, and whether that passes."""

from __future__ import annotations

import errno
import os
import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from hydra_peft.disk_errors import (
    TakesNoMore,
    check_writable,
    disk_sentence,
    may_pass,
    reading_sentence,
    takes_no_more,
    unwritten,
)
from hydra_peft.errors import UserError
from hydra_peft.files import atomic_write


@pytest.fixture
def limited() -> Iterator[int]:
    """As after ``ulimit -f``: no file may have more bytes than this."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    yield 4096
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_that_may_not_grow_is_a_full_disk(tmp_path: Path, limited: int) -> None:
    atomic_write(tmp_path / "a", bytes(limited))
    with pytest.raises(OSError, match="too large") as caught:
        atomic_write(tmp_path / "a", bytes(limited + 1))
    assert caught.value.errno == errno.EFBIG
    assert may_pass(caught.value)
    assert takes_no_more(caught.value)
    sentence = disk_sentence(caught.value)
    assert sentence is not None
    assert sentence == (
        f"cannot write at {tmp_path}/a: no file may become so large here: `ulimit -f` allows 4 "
        "KiB; type `ulimit -S -f unlimited` first, since other folders have the same limit. What "
        "was complete before is kept."
    )
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").stat().st_size == limited


def test_a_limit_that_the_shell_itself_cannot_raise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (102400, 102400))
    found = unwritten("the cache /c", OSError(errno.EFBIG, "File too large", "/c"), "elsewhere")
    assert isinstance(found, TakesNoMore)
    assert takes_no_more(found)
    assert disk_sentence(found) == (
        "cannot write the cache /c: no file may become so large here: `ulimit -f` allows 100 KiB; "
        "start it in a shell without it, since other folders have the same limit."
    )
    denied = unwritten("the cache /c", OSError(errno.EACCES, "denied", "/c"), "elsewhere")
    assert isinstance(denied, UserError)  # of this run alone


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (errno.ENOSPC, "make room, or set paths.runs to another folder"),
        (errno.EDQUOT, "make room, or set"),
        (errno.EFBIG, "so large; set paths.runs to another"),  # the file system's own limit
        (errno.EROFS, "let it be written to, or set"),
        (errno.EACCES, "let it be written to, or set"),
        (errno.EPERM, "let it be written to, or set"),
        (errno.ENOTDIR, "move that file away, or set"),
        (errno.ENAMETOOLONG, "no file or folder can be called /runs/a: a name has at most 255"),
    ],
)
def test_what_to_do_about_a_disk_depends_on_what_it_says(code: int, advice: str) -> None:
    sentence = disk_sentence(OSError(code, "said", "/runs/a"))
    assert sentence is not None
    assert advice in sentence
    assert ("make room" in sentence) == (code in (errno.ENOSPC, errno.EDQUOT))


def test_no_folder_for_temporary_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(tmp_path / "nowhere")])
    with pytest.raises(FileNotFoundError) as caught:
        tempfile.gettempdir()
    sentence = disk_sentence(caught.value)
    assert sentence is not None
    assert "set the variable TMPDIR to a folder that does." in sentence


def test_a_link_to_nowhere_is_named_with_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "scratch").symlink_to(tmp_path / "purged")
    with pytest.raises(FileExistsError) as caught:
        atomic_write(tmp_path / "scratch/runs/a", b"")
    sentence = disk_sentence(caught.value)
    assert sentence is not None
    assert f"{tmp_path}/scratch: it is a link to {tmp_path}/purged, which is not there" in sentence
    assert not may_pass(caught.value)
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(UserError, match=r"circle: it is one of links that lead to each other"):
        check_writable(tmp_path / "circle" / "runs")


def test_what_may_not_be_read_is_told_from_what_may_not_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, inside = tmp_path / "file", tmp_path / "closed" / "deep" / "file"
    file.touch()
    (tmp_path / "closed").mkdir()

    def sentence(path: Path, code: int = errno.EACCES) -> str | None:
        return reading_sentence(OSError(code, "denied", str(path)))

    assert [sentence(path) for path in (file, inside)] == [None, None]  # it was to be written
    monkeypatch.setattr(os, "access", lambda *_: False)  # the tests may be root's
    assert str(sentence(file)).startswith(f"cannot read {file}: permission denied; let {file} be")
    assert str(sentence(inside)).endswith(f"let {tmp_path}/closed be read by you.")
    assert sentence(file, errno.ENOSPC) is None


def test_other_errors_of_the_system_are_none_of_the_disk() -> None:
    assert disk_sentence(ConnectionResetError(errno.ECONNRESET, "reset")) is None
    assert disk_sentence(OSError("libtorch.so: failed to map segment")) is None
