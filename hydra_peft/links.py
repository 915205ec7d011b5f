"""What is in the way of a path, in words: a link that leads nowhere, or a file where a folder is
meant."""

from __future__ import annotations

import errno
import os

CIRCLE = "one of links that lead to each other and to nothing else"


def leads_nowhere(path: str | os.PathLike[str]) -> str | None:
    """Return what ``path`` is, if it is a link that leads nowhere, else None."""
    if not os.path.islink(path) or os.path.exists(path):
        return None
    try:
        os.stat(path)
    except OSError as error:
        if error.errno == errno.ELOOP:
            return CIRCLE
    return f"a link to {os.path.realpath(path)}, which is not there"


def in_the_way(path: str | os.PathLike[str]) -> str | None:
    """Return the beginning of a sentence on ``path``, where a folder is meant, if it is a file or a
    link that leads nowhere, or is below one: its name and what that is."""
    name = part = os.fspath(path)
    while part not in ("", os.sep):
        if found := leads_nowhere(part) or ("a file" if os.path.isfile(part) else None):
            return f"{name} is {found}" if part == name else f"{name} is below {part}, {found}"
        part = os.path.dirname(part)
    return None


def missing(path: str | os.PathLike[str], usual: str = "is not there") -> str:
    """Return the beginning of a sentence on ``path``, which is not what it should be: what is in
    the way, or its name and ``usual``."""
    return in_the_way(path) or f"{os.fspath(path)} {usual}"
