"""Arrays in MATLAB files of version 5, which scipy reads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hydra_peft.errors import UserError
from hydra_peft.workshop.prepare.originals._optional import optional

#: elements that one byte of a file can stand for at most: what deflate can do, rounded up
INFLATION = 1100


def read_arrays(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the arrays ``names`` of a MATLAB 5 file, each of some kind of number.

    Raises:
        UserError: the file is none or is truncated, lacks an array, or declares one that is
            larger than the file can hold.
    """
    scipy_io = optional("scipy.io")
    try:
        shapes = {name: shape for name, shape, _ in scipy_io.whosmat(str(path))}
    except Exception as error:  # scipy raises many kinds for what is no such file
        raise _unreadable(path, error) from None
    for name in names:
        if name not in shapes:
            raise UserError(
                f"{path} holds {', '.join(sorted(shapes)) or 'nothing'}, not '{name}': it is "
                "another file than the original, fetch it again."
            )
        if math.prod(shapes[name]) > INFLATION * path.stat().st_size:
            raise UserError(
                f"{path}: '{name}' is declared as {'x'.join(map(str, shapes[name]))}, more than "
                f"{path.stat().st_size:,} bytes can hold: fetch it again."
            )
    try:
        arrays = scipy_io.loadmat(str(path), variable_names=list(names))
    except Exception as error:  # as above
        raise _unreadable(path, error) from None
    for name in names:
        if not isinstance(arrays.get(name), np.ndarray) or arrays[name].dtype.kind not in "uif":
            raise UserError(f"{path}: '{name}' is no array of numbers: fetch it again.")
    return {name: arrays[name] for name in names}


def read_integers(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the arrays ``names``, flattened, as int64; see :func:`read_arrays`.

    Raises:
        UserError: also if a value is no whole number.
    """
    integers = {}
    for name, array in read_arrays(path, names).items():
        values = array.reshape(-1)
        with np.errstate(invalid="ignore"):
            integers[name] = values.astype(np.int64)
        if not np.array_equal(integers[name], values):
            raise UserError(f"{path}: '{name}' holds values that are no whole numbers.")
    return integers


def read_texts(path: Path, name: str) -> list[str]:
    """Return the texts of the cell array ``name``.

    Raises:
        UserError: the file is no MATLAB 5 file, or has no such array.
    """
    values = _squeezed(path, name).reshape(-1).tolist()
    if not values or not all(isinstance(value, str) for value in values):
        raise UserError(f"{path}: '{name}' is no list of texts: fetch it again.")
    return values


def read_records(path: Path, name: str, *fields: str) -> list[tuple[Any, ...]]:
    """Return ``fields`` of each element of the struct array ``name``: numbers and texts.

    Raises:
        UserError: the file is no MATLAB 5 file, or has no such array or field.
    """
    values = _squeezed(path, name).reshape(-1)
    missing = [field for field in fields if field not in (values.dtype.names or ())]
    if missing:
        raise UserError(f"{path}: '{name}' has no field '{missing[0]}': fetch it again.")
    return [tuple(value[field] for field in fields) for value in values]


def _squeezed(path: Path, name: str) -> np.ndarray:
    scipy_io = optional("scipy.io")
    try:
        values = scipy_io.loadmat(str(path), variable_names=[name], squeeze_me=True).get(name)
    except Exception as error:  # as above
        raise _unreadable(path, error) from None
    if values is None:
        raise UserError(f"{path} has no '{name}': it is another file, fetch it again.")
    return np.asarray(values)


def _unreadable(path: Path, error: Exception) -> UserError:
    reason = str(error).strip().split("\n")[0][:120] or type(error).__name__
    return UserError(f"{path} is no whole MATLAB 5 file ({reason}): fetch it again.")
