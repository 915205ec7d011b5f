"""State dicts in torch's own files (``.pth``), read without running any code in them."""

from __future__ import annotations

import errno
import os
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hydra_peft.backbones.pickle_sizes import check_sizes
from hydra_peft.errors import UserError, reason_of
from hydra_peft.plain_text import tensor_name
from hydra_peft.tensor_values import check_dense

#: by how much the tensors of a file may be larger than it; a few names for one are common
_TIED = 8


def read_torch_file(path: Path) -> dict[str, Tensor]:
    """Return the state dict in a file of ``torch.save``, old format or new, on the CPU.

    Of a training checkpoint it is what lies under ``model`` or ``state_dict``.

    Raises:
        UserError: the file is truncated or damaged, holds more than tensors and plain values, or
            no state dict of plain tensors.
    """
    state = _state_dict(_content(path), path)
    size = path.stat().st_size
    for name, tensor in state.items():
        check_dense(tensor, f"{path}: {tensor_name(name)}", size)
    if sum(map(_bytes, state.values())) > _TIED * size:
        raise UserError(
            f"{path}: its {len(state)} tensors hold more values than the file, which they share: "
            "choose a file of plain weights."
        )
    return state


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _content(path: Path) -> Any:
    try:
        _refuse_compressed(path)
        check_sizes(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of kinds of tensors that are refused below
            return torch.load(path, map_location="cpu", weights_only=True)
    except UserError:
        raise
    # What wrong bytes lead to in torch's three formats is of any kind. In a truncated file it may
    # look before the beginning, which the system calls an invalid argument.
    except Exception as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise UserError(f"cannot read {path}: {error.strerror or error}.") from None
        raise UserError(
            f"cannot read {path}: truncated, or it holds more than tensors, which is refused "
            f"({_reason(error)}); fetch it again, or save model.state_dict() alone."
        ) from None


def _reason(error: Exception) -> str:
    """Reason torch gave for refusing a file, without its advice to load it unsafely."""
    found = re.search(r"Unsupported (?:global: GLOBAL|class|operand) [\w.]+", str(error))
    if found is not None:
        return found[0]
    said = reason_of(error)
    return type(error).__name__ if "weights_only" in said or "Weights only" in said else said


def _refuse_compressed(path: Path) -> None:
    """Refuse a zip file that unpacks to more than it is; torch.save never compresses."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        size = sum(member.file_size for member in archive.infolist())
    if size > os.path.getsize(path):
        raise UserError(
            f"{path} is compressed, it unpacks to {size} bytes, and no file of torch.save is (a "
            "TorchScript model?): fetch it again, or save model.state_dict() alone."
        )


def _state_dict(content: Any, path: Path) -> dict[str, Tensor]:
    for key in ("model", "state_dict"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict):
        raise _no_state_dict(path, f"it is of type {type(content).__name__}")
    for name, value in content.items():
        if not isinstance(name, str):
            raise _no_state_dict(path, f"a name in it is of type {type(name).__name__}")
        if not isinstance(value, Tensor):
            raise _no_state_dict(path, f"{tensor_name(name)} is of type {type(value).__name__}")
    return content


def _no_state_dict(path: Path, what: str) -> UserError:
    return UserError(
        f"{path} holds no state dict (names and tensors) of a model, also not under 'model' or "
        f"'state_dict': {what}; save model.state_dict() alone."
    )
