"""Files that are looked at again and again, and read when they have changed."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from hydra_peft.errors import UserError

T = TypeVar("T")


class Rereader(Generic[T]):
    """Calls ``read`` for a file that is new or has changed, and remembers what it returned.

    It serves files that are replaced and not written in place: their inode, size and times say
    whether they are the same. What could not be read is tried again each time.
    """

    def __init__(self, read: Callable[[Path], T]) -> None:
        self._read = read
        self._known: dict[str, tuple[tuple[int, ...], T]] = {}

    def __call__(self, path: str) -> T | None:
        """Read ``path`` again if it changed; None where there is no such file.

        Raises:
            UserError: it cannot be read, or ``read`` raised this.
        """
        try:
            found = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            self._known.pop(path, None)
            return None
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror or error}.") from None
        if not stat.S_ISREG(found.st_mode):
            # A pipe would never end, and a link may lead to nothing or to anything.
            raise UserError(f"{path} is not a plain file.")
        signature = (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        known = self._known.get(path)
        if known is not None and known[0] == signature:
            return known[1]
        try:
            value = self._read(Path(path))
        except UserError:
            if not os.path.lexists(path):
                return None  # went away in between
            raise
        self._known[path] = (signature, value)
        return value
