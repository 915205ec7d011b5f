"""Reading and writing files so that a reader never sees half of one."""

from __future__ import annotations

import contextlib
import json
import math
import os
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra_peft.errors import UserError

#: no json file of this project comes near it; a larger one is not ours
MAX_JSON_BYTES = 16 * 2**20


def atomic_write(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` in one step: temporary file beside it, fsync, rename, fsync.

    Parent folders are made. A failure leaves the earlier file, or none, and no temporary file.
    What was written is there after a power failure too, where the file system can promise it.

    Raises:
        OSError: the disk is full or the folder not writable.
    """
    made = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files private; results are to be read like any other file.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            # "No space left" comes without a name; the message to the user needs one.
            error.filename = str(path)
        raise
    # A name is in its folder, and that has to reach the disk like the content.
    for folder in (path.parent, *(folder.parent for folder in made)):
        _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    """Write to the disk which names ``folder`` holds; not all file systems know how to."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write ``value`` as indented json, atomically; NaN and infinity are refused.

    Raises:
        OSError: see :func:`atomic_write`.
        ValueError: a number that json does not have.
    """
    atomic_write(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """Return the json object in ``path``.

    Raises:
        UserError: no such file, not readable, too large, or not a json object.
    """
    try:
        state = path.stat()
        if not stat.S_ISREG(state.st_mode):
            # Reading a pipe that nobody writes to would never end.
            raise UserError(f"{path} is no ordinary file: not a file of ours.")
        if state.st_size > MAX_JSON_BYTES:
            raise UserError(f"{path} is larger than {MAX_JSON_BYTES} bytes: not a file of ours.")
        # What write_json refuses is not read either.
        text = path.read_text(encoding="utf-8")
        value = json.loads(text, parse_constant=_finite, parse_float=_finite)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}.") from None
    except (ValueError, RecursionError) as error:  # the latter: nested without end
        raise UserError(f"{path} is not valid json ({error}): truncated or edited?") from None
    if not isinstance(value, dict):
        raise UserError(f"{path} holds a {type(value).__name__} where a json object was expected.")
    return value


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is not a finite number")
    return value
