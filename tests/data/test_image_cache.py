"""The cache of decoded images: built once, resumed, checked, shared."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from hydra_peft.data import image_cache
from hydra_peft.data.image_cache import BLOCK, open_cache
from hydra_peft.disk_errors import disk_sentence
from hydra_peft.errors import UserError

SIZE = (4, 6)


class Counted:
    """Images of the right size that count how often each is read."""

    def __init__(self, count: int = 150, seed: int = 0) -> None:
        self.array = np.random.RandomState(seed).randint(0, 256, (count, *SIZE, 3), np.uint8)
        self.reads: list[int] = []
        self.fail_at: int | None = None
        self.lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.array)

    def pixels(self, index: int) -> np.ndarray:
        if index == self.fail_at:
            raise UserError(f"cannot read {self.name(index)}")
        with self.lock:
            self.reads.append(index)
        return self.array[index]

    def name(self, index: int) -> str:
        return f"image {index}"

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.array.tobytes()).hexdigest()


def read(images: Counted, folder: Path) -> torch.Tensor:
    cached = open_cache(images, size=SIZE, folder=folder, title="x")
    return cached[0 : len(images)].permute(0, 2, 3, 1)


def only(folder: Path, suffix: str) -> Path:
    (file,) = (folder / "images").glob(f"*{suffix}")
    return file


def test_built_once_and_equal(tmp_path: Path) -> None:
    images = Counted()
    assert torch.equal(read(images, tmp_path), torch.from_numpy(images.array))
    assert sorted(images.reads) == list(range(150))
    cached = open_cache(images, size=SIZE, folder=tmp_path, title="x")
    assert torch.equal(cached[70:131].permute(0, 2, 3, 1), torch.from_numpy(images.array[70:131]))
    assert len(images.reads) == 150
    left = sorted(p.suffix for p in (tmp_path / "images").iterdir())
    assert left == [".json", ".lock", ".u8"]
    assert only(tmp_path, ".u8").stat().st_size == images.array.nbytes


def test_other_images_and_sizes_have_other_files(tmp_path: Path) -> None:
    read(Counted(), tmp_path)
    read(Counted(seed=1), tmp_path)
    open_cache(Counted(), size=(3, 3), folder=tmp_path, title="x")
    assert len(list((tmp_path / "images").glob("*.u8"))) == 3


def test_a_damaged_block_is_decoded_again_not_trained_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images = Counted()
    read(images, tmp_path)
    images.reads.clear()
    one = images.array[0].nbytes
    with only(tmp_path, ".u8").open("r+b") as file:
        file.seek(BLOCK * one)
        file.write(b"\x17" * (BLOCK * one))
    logging.getLogger("hydra_peft").propagate = True
    with caplog.at_level(logging.WARNING, "hydra_peft"):
        again = read(images, tmp_path)
    assert torch.equal(again, torch.from_numpy(images.array))
    assert sorted(images.reads) == list(range(BLOCK, 2 * BLOCK))
    assert "images 64 to 127" in caplog.text
    images.reads.clear()
    assert torch.equal(read(images, tmp_path), again)
    assert not images.reads  # mended in the file too


@pytest.mark.parametrize("damage", ["truncated", "no header", "bad header", "other shape"])
def test_a_damaged_cache_is_made_anew(tmp_path: Path, damage: str) -> None:
    images = Counted()
    good = read(images, tmp_path)
    content, header = only(tmp_path, ".u8"), only(tmp_path, ".json")
    if damage == "truncated":
        content.write_bytes(content.read_bytes()[:-1])
    elif damage == "no header":
        header.unlink()
    elif damage == "bad header":
        header.write_text("{")
    else:
        header.write_text(json.dumps({**json.loads(header.read_text()), "shape": [1, 4, 6, 3]}))
    images.reads.clear()
    assert torch.equal(read(images, tmp_path), good)
    assert len(images.reads) == 150


def test_a_cache_of_other_images_in_its_place_is_made_anew(tmp_path: Path) -> None:
    images = Counted()
    read(images, tmp_path / "own")
    read(Counted(seed=1), tmp_path / "other")
    for suffix in (".u8", ".json"):
        only(tmp_path / "other", suffix).rename(only(tmp_path / "own", suffix))
    assert torch.equal(read(images, tmp_path / "own"), torch.from_numpy(images.array))


def test_a_stopped_build_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hydra_peft.data.decoding.usable_cores", lambda: 1)
    images = Counted(count=5 * BLOCK)
    images.fail_at = 4 * BLOCK + 3
    with pytest.raises(UserError, match="cannot read image 259"):
        read(images, tmp_path)
    journal = only(tmp_path, ".journal")
    done = {int(line.split()[0]) for line in journal.read_text().splitlines()}
    assert {0, 1, 2} <= done
    # A kill can leave half a line, and a block that never reached the disk.
    journal.write_text(journal.read_text() + "3 12")
    with only(tmp_path, ".partial").open("r+b") as file:
        file.write(b"\0" * 100)
    images.fail_at = None
    images.reads.clear()
    assert torch.equal(read(images, tmp_path), torch.from_numpy(images.array))
    redone = {index // BLOCK for index in images.reads}
    assert 0 in redone
    assert not redone & {1, 2}


BUILDER = """
import sys, time
sys.path[:0] = sys.argv[1:3]
import torch
from test_image_cache import Counted, read
from pathlib import Path
images = Counted(count=40 * 64)
folder = Path(sys.argv[3])
(folder / sys.argv[4]).touch()
while len(list(folder.iterdir())) < 2:
    time.sleep(0.01)
whole = read(images, folder / "cache")
print(len(images.reads), bool(torch.equal(whole, torch.from_numpy(images.array))))
"""


@pytest.mark.long
def test_two_processes_build_once(root: Path, tmp_path: Path) -> None:
    # Processes of their own: a fork of a process whose torch has threads can wait forever.
    command = [sys.executable, "-c", BUILDER, str(root), str(Path(__file__).parent), str(tmp_path)]
    jobs = [
        subprocess.Popen([*command, name], stdout=subprocess.PIPE, text=True) for name in ("a", "b")
    ]
    try:
        found = sorted(job.communicate(timeout=100)[0].strip() for job in jobs)
    finally:
        for job in jobs:
            job.kill()
    assert found == ["0 True", f"{40 * BLOCK} True"]


@pytest.mark.parametrize("when", ["reserving", "writing"])
def test_a_full_disk_is_one_sentence_and_costs_no_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate" if when == "reserving" else "pwrite", full)
    with pytest.raises(OSError, match="No space left") as caught:
        read(Counted(), tmp_path)
    said = str(disk_sentence(caught.value))
    assert re.search(r"cannot write .*the disk is full.*data\.cache=none", said)
    left = {path.suffix for path in (tmp_path / "images").iterdir()}
    assert not left & {".u8", ".json"}
    if when == "reserving":
        assert ".partial" not in left
    monkeypatch.undo()
    images = Counted()
    assert torch.equal(read(images, tmp_path), torch.from_numpy(images.array))


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write the image cache .* paths\.cache"):
        read(Counted(), tmp_path / "file")


def test_file_systems_that_cannot_reserve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "no")

    monkeypatch.setattr(image_cache.os, "posix_fallocate", unsupported)
    images = Counted()
    assert torch.equal(read(images, tmp_path), torch.from_numpy(images.array))


@pytest.mark.parametrize("line", [b"\x80\x04\xff", "² ³".encode(), b"9" * 5000 + b" 1"])
def test_a_journal_that_is_none_of_ours(tmp_path: Path, line: bytes) -> None:
    images = Counted()
    expected = read(images, tmp_path)
    header = only(tmp_path, ".json")
    header.with_suffix(".journal").write_bytes(line + b"\n")
    header.unlink()
    assert torch.equal(read(images, tmp_path), expected)


@pytest.mark.parametrize("suffix", [".partial", ".journal", ".lock", ".u8", ".json"])
@pytest.mark.parametrize("kind", ["link", "pipe", "second name"])
def test_nothing_is_read_or_written_through_what_others_put_there(
    tmp_path: Path, suffix: str, kind: str
) -> None:
    images, other = Counted(), tmp_path / "other"
    other.write_bytes(b"somebody's" * 1080)  # as many bytes as the images have
    read(images, tmp_path / "first")
    name = only(tmp_path / "first", ".u8").stem
    place = tmp_path / "images" / f"{name}{suffix}"
    place.parent.mkdir()
    if suffix in (".u8", ".json"):
        for beside in (".u8", ".json"):
            shutil.copy(only(tmp_path / "first", beside), place.parent)
        place.unlink()
    if kind == "link":
        place.symlink_to(other)
    elif kind == "pipe":
        os.mkfifo(place)
    else:
        place.hardlink_to(other)
    assert torch.equal(read(images, tmp_path), torch.from_numpy(images.array))
    assert other.read_bytes() == b"somebody's" * 1080
    assert only(tmp_path, ".u8").read_bytes() == images.array.tobytes()
