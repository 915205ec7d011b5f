"""Tensors on disk: safetensors and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hydra_peft.errors import UserError, reason_of
from hydra_peft.files import atomic_write
from hydra_peft.quoting import of_file

#: a model of a thousand layers takes one, and a checkpoint's facts on ten thousand epochs another
MAX_HEADER_BYTES = 16 * 2**20
#: in one file; the largest models have a tenth
MAX_TENSORS = 100_000
#: those that files name, less some that torch has not got
_DTYPES = {
    **{"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16},
    **{"I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8},
    **{"U64": torch.uint64, "U32": torch.uint32, "U16": torch.uint16, "U8": torch.uint8},
    **{"F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2},
    **{"BOOL": torch.bool, "C64": torch.complex64},
}


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write ``tensors`` to ``path`` atomically, with ``metadata`` in the header.

    Raises:
        OSError: the disk is full or the folder not writable.
    """
    from safetensors.torch import save

    # clone: safetensors refuses tensors that share storage, such as tied weights.
    content = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
    atomic_write(path, save(content, dict(metadata)))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors in a safetensors file, on the CPU.

    Raises:
        UserError: no such file, or a truncated or foreign one.
    """
    return read_tensors_and_metadata(path)[0]


def read_headers(path: Path) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    """Return shape and dtype of the tensors in a safetensors file, from its header alone.

    Raises:
        UserError: no such file, or a truncated or foreign one.
    """
    with _open(path) as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
        return {
            name: (tuple(one.get_shape()), _DTYPES.get(one.get_dtype(), torch.uint8))
            for name, one in slices.items()
        }


def read_tensors_and_metadata(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors in a safetensors file, on the CPU, and the metadata in its header.

    Raises:
        UserError: no such file, or a truncated or foreign one.
    """
    with _open(path) as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return tensors, dict(file.metadata() or {})


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise UserError(f"{path} does not exist or is not a file.")
    try:
        with path.open("rb") as file:
            header = int.from_bytes(file.read(8), "little")
        if header > min(path.stat().st_size, MAX_HEADER_BYTES):
            raise OSError("its header is too large")
        with safe_open(str(path), framework="pt", device="cpu") as file:
            if (count := len(file.keys())) > MAX_TENSORS:
                raise OSError(f"it has {count:,} tensors, at most {MAX_TENSORS:,} are read")
            yield file
    except (SafetensorError, OSError) as error:
        if "(os error 12)" in str(error):  # under ulimit -v
            raise MemoryError(str(error)) from None
        if isinstance(error, OSError) and error.strerror:  # the system's, not of what is in it
            raise UserError(f"cannot read {path}: {error.strerror}.") from None
        raise UserError(
            f"cannot read {path}: truncated or not a safetensors file "
            f"({of_file(reason_of(error), type(error).__name__)}); fetch or make it again."
        ) from None
