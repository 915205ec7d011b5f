"""Files of a run folder as text for a page: bounded, regular, and in that folder."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from hydra_peft.errors import UserError
from hydra_peft.runs.folder import CONFIG
from hydra_peft.runs.record import TRACEBACK

#: a run's config is a few kilobytes
MAX_CONFIG_BYTES = 32 * 2**10
#: the end of a traceback says what happened
TRACEBACK_TAIL = 6 * 2**10


def read_text(path: Path, most: int, *, tail: bool = False) -> str | None:
    """Return what is in ``path``, None if there is no such file.

    Who sent a run folder may have put a link to another file of yours there, and a report is
    passed on: links are not followed.

    Args:
        path: the file.
        most: how many bytes it may have.
        tail: give the last ``most`` bytes of a larger one.

    Raises:
        UserError: not readable, no regular file, or too large.
    """
    try:
        # Without O_NONBLOCK opening a pipe would wait for a writer.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; left out.") from None
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise UserError(f"{path} is not a regular file: left out.")
        if status.st_size > most and not tail:
            raise UserError(f"{path} is larger than {most} bytes: left out.")
        if tail:
            file.seek(max(0, status.st_size - most))
        return file.read(most).decode("utf-8", errors="replace")


def read_config(folder: Path) -> str | None:
    """Return the text of the run's ``config.yaml``; it is shown, not understood.

    Raises:
        UserError: see :func:`read_text`.
    """
    return read_text(folder / CONFIG, MAX_CONFIG_BYTES)


def read_traceback(folder: Path) -> str | None:
    """Return the end of the run's ``traceback.txt``.

    Raises:
        UserError: see :func:`read_text`.
    """
    return read_text(folder / TRACEBACK, TRACEBACK_TAIL, tail=True)
