"""State dicts in torch's own files (``.pth``), read without running any code in them."""

from __future__ import annotations

import errno
import logging
import os
import re
import struct
import warnings
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor, nn

from hydra_peft.backbones.pickle_sizes import ZIP, check_sizes
from hydra_peft.errors import UserError, reason_of
from hydra_peft.plain_text import shortened, tensor_name
from hydra_peft.quoting import may_quote, of_file
from hydra_peft.tensor_values import check_dense

log = logging.getLogger("hydra_peft")

#: where training checkpoints have the state dict, first that of timm's
_PLACES = ("state_dict", "model")
#: other places that a message names, and characters of a key
_NAMED, _KEY = 3, 40
#: by how much the tensors of a file may be larger than it; a few names for one are common
_TIED = 8
#: the end of a zip file: where the directory of a large one begins, where that is said, and where
#: that of any other begins and how long a comment follows, each after its name
_END = struct.Struct("<4s44xQ 4s4xQ4x 4s12xLH")


def read_torch_file(path: Path) -> dict[str, Tensor]:
    """Return the state dict in a file of ``torch.save``, old format or new, on the CPU.

    Of a training checkpoint it is what lies under ``state_dict`` or ``model``; an average beside it
    (``state_dict_ema`` and the like) is told of.

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
            f"cannot read {path}: truncated, or it holds more than a model's tensors, which is "
            f"refused ({of_file(_reason(error), type(error).__name__)}); fetch it again, or save "
            "model.state_dict() alone."
        ) from None


def _reason(error: Exception) -> str:
    """Reason torch gave for refusing a file, without its advice to load it unsafely."""
    found = re.search(r"Unsupported (?:global: GLOBAL|class|operand) [\w.]+", str(error))
    if found is not None:
        return found[0]
    said = reason_of(error)
    return type(error).__name__ if "weights_only" in said or "Weights only" in said else said


def _refuse_compressed(path: Path) -> None:
    """Refuse a zip file that unpacks to more than it is; torch.save never compresses.

    Raises:
        ValueError: torch's reader might find another directory in it than is looked through here.
    """
    with path.open("rb") as file:
        if file.read(len(ZIP)) != ZIP:
            return
        file.seek(0)
        size = os.fstat(file.fileno()).st_size
        with zipfile.ZipFile(file) as archive:
            members, start = archive.infolist(), archive.start_dir
        if _stated_start(file, size) != start:
            raise ValueError("it has not the end that torch.save writes")
    unpacked = sum(member.file_size for member in members)
    if unpacked > size or any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise UserError(
            f"{path} is compressed, it unpacks to {unpacked} bytes, and no file of torch.save is "
            "(a TorchScript model?): fetch it again, or save model.state_dict() alone."
        )


def _stated_start(file: BinaryIO, size: int) -> int | None:
    """Return where a zip file says that its directory begins; None where its end is not the last.

    Torch's reader takes it by its word, Python's looks before the end: what stands between the two
    would let them read different directories.
    """
    file.seek(max(size - _END.size, 0))
    large, large_start, place, large_at, last, start, comment = _END.unpack(
        file.read().rjust(_END.size, b"\0")
    )
    if (last, comment) != (b"PK\5\6", 0):
        return None
    if place != b"PK\6\7":
        return int(start)
    return int(large_start) if (large, large_at) == (b"PK\6\6", size - _END.size) else None


def _state_dict(content: Any, path: Path) -> dict[str, Tensor]:
    # Torch gives mappings and tensors the attributes that a file names, such as items: methods are
    # those of their types.
    whole = content
    for _ in _PLACES:
        key = next((k for k in _PLACES if isinstance(_at(content, (k,)), dict)), None)
        if key is None:
            break
        _tell_of_others(content, key, path)
        content = _at(content, (key,))
    if not isinstance(content, dict):
        raise _no_state_dict(path, f"it is of type {type(content).__name__}")
    found = dict(dict.items(content))
    for name, value in found.items():
        if not isinstance(name, str):
            raise _no_state_dict(path, f"a name in it is of type {type(name).__name__}")
        if not isinstance(value, Tensor):
            if others := _state_dicts(whole):
                raise _elsewhere(path, others)
            raise _no_state_dict(path, f"{tensor_name(name)} is of type {type(value).__name__}")
        if type(value) in (Tensor, nn.Parameter):
            found[name] = Tensor.detach(value)  # without attributes
    return found


def _at(content: Any, keys: tuple[str, ...]) -> Any:
    """Return what lies under ``keys`` in mappings in each other; None where nothing does."""
    for key in keys:
        content = dict.get(content, key) if isinstance(content, dict) else None
    return content


def _state_dicts(content: dict[Any, Any]) -> list[tuple[str, ...]]:
    """Return the keys under which mappings of names to tensors lie, up to two deep."""
    found: list[tuple[str, ...]] = []
    seen: set[int] = set()  # a file may name one mapping as often as it likes

    def look(within: dict[Any, Any], keys: tuple[str, ...]) -> None:
        for key, inside in dict.items(within):
            if isinstance(key, str) and isinstance(inside, dict) and id(inside) not in seen:
                seen.add(id(inside))
                if _is_state_dict(inside):
                    found.append((*keys, key))
                elif not keys:
                    look(inside, (key,))

    look(content, ())
    return found


def _is_state_dict(content: Any) -> bool:
    return bool(dict.__len__(content)) and all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in dict.items(content)
    )


def _tell_of_others(around: Any, taken: str, path: Path) -> None:
    """Warn of other weights of the same model beside those that are taken, such as averages.

    A run's folder says by a hash which are meant: where its weights are read again, nothing.
    """
    if not may_quote():
        return
    names = _bare(_at(around, (taken,)))
    others = [
        keys
        for keys in _state_dicts(around)
        if keys[0] != taken and not names.isdisjoint(_bare(_at(around, keys)))
    ]
    if others:
        log.warning(
            "%s holds several state dicts of one model: '%s' is taken, and not %s: to have another,"
            " save what lies there alone, by torch.save, and give that file.",
            path,
            taken,
            _shown(others),
        )


def _bare(state: dict[str, Any]) -> set[str]:
    """Return the names in a state dict without what wrappers put before them."""
    names = (name for name in dict.keys(state) if isinstance(name, str))
    return {name.removeprefix("module.").removeprefix("_orig_mod.") for name in names}


def _elsewhere(path: Path, places: list[tuple[str, ...]]) -> UserError:
    return UserError(
        f"{path} holds no state dict of a model under 'state_dict' or 'model', where it is looked "
        f"for, but under {_shown(places)}: save what lies there (of several, what is meant) alone, "
        "by torch.save, and give that file."
    )


def _shown(places: list[tuple[str, ...]]) -> str:
    more = f" and {len(places) - _NAMED} more" * (len(places) > _NAMED)
    named = (".".join(shortened(key, _KEY) for key in keys) for keys in places[:_NAMED])
    return of_file(", ".join(f"'{name}'" for name in named) + more, "other keys")


def _no_state_dict(path: Path, what: str) -> UserError:
    return UserError(
        f"{path} holds no state dict (names and tensors) of a model, also not under 'model' or "
        f"'state_dict': {what}; save model.state_dict() alone."
    )
