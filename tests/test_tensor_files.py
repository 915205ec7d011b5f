"""Files of tensors that may not be read are not taken for damaged ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from tiny_net import TinyNet

from hydra_peft.backbones.checkpoints import check_checkpoint, load_checkpoint
from hydra_peft.errors import UserError
from hydra_peft.tensor_files import read_tensors, write_tensors


def safetensors(path: Path) -> None:
    write_tensors(path, {"a": torch.zeros(2)}, {})


def load(path: Path) -> Any:
    return load_checkpoint(TinyNet(), str(path))


@pytest.mark.parametrize(
    ("name", "write", "read"),
    [
        ("a.safetensors", safetensors, read_tensors),
        ("a.safetensors", safetensors, load),
    ],
)
def test_permission_is_not_damage(
    name: str,
    write: Callable[[Path], None],
    read: Callable[[Path], Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write(path := tmp_path / name)
    reader = path.open  # the tests may be root's

    def refused(self: Path, *words: Any, **options: Any) -> Any:
        if self == path:
            raise PermissionError(13, "Permission denied", str(self))
        return reader(*words, **options)

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(UserError) as caught:
        read(path)
    assert f"cannot read {path}: Permission denied." in str(caught.value)


@pytest.mark.parametrize("dtype", [torch.bool, torch.float8_e5m2, torch.int64, torch.uint8])
def test_a_dtype_is_called_what_the_file_has(tmp_path: Path, dtype: torch.dtype) -> None:
    state = TinyNet().state_dict()
    first = next(iter(state))
    path = tmp_path / "a.safetensors"
    write_tensors(path, {**state, first: torch.zeros(state[first].shape).to(dtype)}, {})
    for look in (check_checkpoint, load_checkpoint):
        with pytest.raises(UserError, match=f"has dtype {str(dtype)[6:]}, expected float32"):
            look(TinyNet(), path)


@pytest.mark.parametrize("kind", [SafetensorError, OSError, MemoryError])
def test_too_little_memory_is_no_damaged_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    write_tensors(tmp_path / "a", {"x": torch.zeros(1)}, {})

    def safe_open(*_: object, **__: object) -> None:
        raise kind("Cannot allocate memory (os error 12)")

    monkeypatch.setattr("safetensors.safe_open", safe_open)
    with pytest.raises(MemoryError):
        read_tensors(tmp_path / "a")


def test_a_file_has_not_any_number_of_tensors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hydra_peft.tensor_files.MAX_TENSORS", 3)
    path = tmp_path / "a.safetensors"
    write_tensors(path, dict.fromkeys("abc", torch.zeros(0)), {})
    assert len(read_tensors(path)) == 3
    write_tensors(path, dict.fromkeys("abcd", torch.zeros(0)), {})
    with pytest.raises(UserError, match="it has 4 tensors, at most 3 are read"):
        read_tensors(path)
