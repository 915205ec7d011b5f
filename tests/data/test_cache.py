"""The image cache is used when it is whole, and made anew when it is not."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
from pathlib import Path

import pytest
import torch
from torch import Tensor

from hydra_peft.data.cache import cached_arrays
from hydra_peft.disk_errors import disk_sentence
from hydra_peft.errors import UserError
from hydra_peft.tensor_files import write_tensors


class Maker:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> tuple[Tensor, Tensor]:
        self.calls += 1
        generator = torch.Generator().manual_seed(1)
        images = torch.randint(0, 256, (64, 4, 4, 3), dtype=torch.uint8, generator=generator)
        return images, torch.arange(64)


def test_made_once(tmp_path: Path) -> None:
    make, path = Maker(), tmp_path / "deep" / "task.safetensors"
    first, second = cached_arrays(path, make), cached_arrays(path, make)
    assert make.calls == 1
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "foreign"])
def test_damage_is_found_and_mended(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    make, path = Maker(), tmp_path / "task.safetensors"
    good = cached_arrays(path, make)
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[-700] ^= 1
    elif damage == "truncate":
        del content[-100:]
    elif damage == "empty":
        content.clear()
    else:
        content[:] = b"\x80\x04not tensors" * 100
    path.write_bytes(bytes(content))
    with caplog.at_level(logging.WARNING, "hydra_peft"):
        logging.getLogger("hydra_peft").propagate = True
        again = cached_arrays(path, make)
    assert make.calls == 2
    assert "made anew" in caplog.text
    assert all(torch.equal(a, b) for a, b in zip(good, again, strict=True))
    cached_arrays(path, make)
    assert make.calls == 2


def test_a_file_of_another_task_in_its_place_is_made_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make, path, other = Maker(), tmp_path / "task.safetensors", tmp_path / "other.safetensors"
    good = cached_arrays(path, make)
    cached_arrays(other, lambda: (good[0] // 2, good[1]))
    other.rename(path)
    assert torch.equal(cached_arrays(path, make)[0], good[0])
    assert "it is made anew" in caplog.text


def test_a_disk_that_takes_no_more_is_no_mistake_of_one_run_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("hydra_peft.data.cache.write_tensors", full)
    with pytest.raises(OSError, match="No space left") as caught:
        cached_arrays(tmp_path / "task.safetensors", Maker())
    assert str(disk_sentence(caught.value)).startswith(f"cannot write the image cache {tmp_path}/t")


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write the image cache .* set paths.cache"):
        cached_arrays(tmp_path / "file" / "task.safetensors", Maker())
    (tmp_path / "purged").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r": \S*/purged is a link to \S*/nowhere, which is not th"):
        cached_arrays(tmp_path / "purged" / "mini" / "task.safetensors", Maker())


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float32, "shape"])
def test_a_cache_of_other_types_is_made_anew(
    tmp_path: Path, kind: torch.dtype | str, caplog: pytest.LogCaptureFixture
) -> None:
    make, path = Maker(), tmp_path / "task.safetensors"
    images, labels = make()
    images = images.to(kind) if isinstance(kind, torch.dtype) else images[:7]
    content = b"".join(bytes(one.flatten().view(torch.uint8).tolist()) for one in (images, labels))
    stated = {"sha256": hashlib.sha256(content).hexdigest()}
    write_tensors(path, {"images": images, "labels": labels}, stated)
    assert cached_arrays(path, make)[0].dtype == torch.uint8
    assert "it is made anew" in caplog.text
