"""Image files are decoded once for each content to find out whether they can be."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from hydra_peft.data import decodable as module
from hydra_peft.data.decodable import check_decodable, remember
from hydra_peft.data.file_hashes import file_hashes
from hydra_peft.errors import UserError


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    made = [tmp_path / f"{number}.png" for number in range(6)]
    for number, file in enumerate(made):
        Image.new("RGB", (5, 4), (number, 0, 0)).save(file)
    return made


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were decoded."""
    found: list[Path] = []
    original = module.read_image
    monkeypatch.setattr(module, "read_image", lambda path: found.append(path) or original(path))
    return found


def check(files: list[Path], memory: Path) -> None:
    check_decodable(
        files, file_hashes(files, files[0].parent, memory.with_name("index"), "x"), memory, "x"
    )


def test_once_for_each_content(files: list[Path], tmp_path: Path, decoded: list[Path]) -> None:
    memory = tmp_path / "deep" / "memory.safetensors"
    check(files, memory)
    assert sorted(decoded) == files
    check(files[::-1], memory)
    assert len(decoded) == 6
    files[1].write_bytes(files[0].read_bytes())  # a known content under another name
    Image.new("RGB", (5, 4), (0, 9, 0)).save(files[3])
    check(files, memory)
    assert decoded[6:] == [files[3]]


def test_an_unreadable_file_is_named_each_time(
    files: list[Path], tmp_path: Path, decoded: list[Path]
) -> None:
    files[5].write_bytes(files[5].read_bytes()[:50])
    for _ in range(2):
        with pytest.raises(UserError, match=r"cannot read the image .*5\.png"):
            check(files, tmp_path / "memory")
    assert sorted(decoded) == [*files, files[5]]


@pytest.mark.parametrize("content", [b"", b"junk", b"\x80\x04pickle"])
def test_a_damaged_memory_costs_time_only(
    files: list[Path], tmp_path: Path, decoded: list[Path], content: bytes
) -> None:
    memory = tmp_path / "memory"
    memory.write_bytes(content)
    check(files, memory)
    assert len(decoded) == 6
    check(files, tmp_path / "0.png" / "memory")  # cannot be written
    assert len(decoded) == 12
    module.write_tensors(memory, {"decodable": torch.zeros(6, 31, dtype=torch.uint8)}, {})
    check(files, memory)
    assert len(decoded) == 18


def test_another_decoder_decides_for_itself(
    files: list[Path], tmp_path: Path, decoded: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    check(files, tmp_path / "memory")
    monkeypatch.setattr(module, "_DECODER", "another")
    check(files, tmp_path / "memory")
    assert len(decoded) == 12
    remember(tmp_path / "memory", [])
    check(files, tmp_path / "memory")
    assert len(decoded) == 18
