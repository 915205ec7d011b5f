"""File hashes are right, kept, and renewed when a file changes."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from hydra_peft.data import file_hashes as module
from hydra_peft.data.file_hashes import file_hashes
from hydra_peft.errors import UserError


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    made = [tmp_path / f"{i}.bin" for i in range(5)]
    for i, file in enumerate(made):
        file.write_bytes(bytes([i]) * (i + 1))
    return made


def plain(files: list[Path]) -> list[bytes]:
    return [hashlib.sha256(file.read_bytes()).digest() for file in files]


def ours(files: list[Path], index: Path) -> list[bytes]:
    return [bytes(row.tolist()) for row in file_hashes(files, files[0].parent, index, "x")]


def test_kept_until_a_file_changes(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_TICK", 0)
    index = tmp_path / "deep" / "index.safetensors"
    read: list[Path] = []
    original = module._sha256
    monkeypatch.setattr(module, "_sha256", lambda file: read.append(file) or original(file))
    assert ours(files, index) == plain(files)
    assert len(read) == 5
    assert ours(files, index) == plain(files)
    assert len(read) == 5
    files[2].write_bytes(b"\x09\x09\x09")
    os.utime(files[2], ns=(1, 1))
    assert ours(files, index) == plain(files)
    assert read[5:] == [files[2]]
    assert ours(files[:3], index) == plain(files[:3])
    assert ours(files[::-1], index) == plain(files[::-1])


def test_a_change_that_keeps_size_and_time_is_noticed(files: list[Path], tmp_path: Path) -> None:
    index = tmp_path / "index.safetensors"
    times = os.stat(files[3])
    assert ours(files, index) == plain(files)  # just written: within a tick of the clock
    files[3].write_bytes(b"\x07" * 4)
    os.utime(files[3], ns=(times.st_atime_ns, times.st_mtime_ns))
    assert os.stat(files[3]).st_mtime_ns == times.st_mtime_ns
    assert ours(files, index) == plain(files)


def test_what_was_just_written_is_read_again(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = tmp_path / "index.safetensors"
    read: list[Path] = []
    original = module._sha256
    monkeypatch.setattr(module, "_sha256", lambda file: read.append(file) or original(file))
    written = max(os.stat(file).st_ctime_ns for file in files)
    for seconds, count in ((1, 5), (3, 5), (4, 0)):
        monkeypatch.setattr(module.time, "time_ns", lambda s=seconds: written + s * 10**9)
        read.clear()
        assert ours(files, index) == plain(files)
        assert len(read) == count


@pytest.mark.parametrize("content", [b"", b"junk", b"\x80\x04pickle"])
def test_a_damaged_index_costs_time_only(files: list[Path], tmp_path: Path, content: bytes) -> None:
    index = tmp_path / "index.safetensors"
    index.write_bytes(content)
    assert ours(files, index) == plain(files)
    assert ours(files, tmp_path / "0.bin" / "index") == plain(files)  # cannot be written
    assert ours(files, tmp_path / ("x" * 300)) == plain(files)  # nor be looked for


def test_missing_files_are_named(files: list[Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read .*9\.bin: no such file"):
        ours([*files, tmp_path / "9.bin"], tmp_path / "index")


def test_names_that_are_no_text_are_hashed_too(tmp_path: Path) -> None:
    file = tmp_path / os.fsdecode(b"\xff.png")
    file.write_bytes(b"content")
    (found,) = file_hashes([file], tmp_path, tmp_path / "index.safetensors", "x")
    assert bytes(found.tolist()) == hashlib.sha256(b"content").digest()
