"""Files below a folder, or that a pattern matches; what has no end, such as ``/proc``, is refused.

A folder may hold a link to one that it lies in, or be that of a whole machine.
"""

from __future__ import annotations

import fnmatch
import glob
import os
from collections.abc import Iterator, Sequence

from hydra_peft.errors import UserError
from hydra_peft.plain_text import in_one_line

#: no published data set has a tenth of them
MAX_FOLDERS = 100_000


def walked(folder: str, key: str, *, links: bool = False) -> Iterator[tuple[str, list[str]]]:
    """Yield ``folder`` and each one below it that is not hidden, with the names of its files.

    Args:
        key: of the config or the command line that names it, for the message.
        links: follow links to folders.

    Raises:
        UserError: there are more than :data:`MAX_FOLDERS` folders, or links lead to one twice.
    """
    seen: set[object] = set()
    for count, (place, folders, names) in enumerate(os.walk(folder, followlinks=links)):
        if count >= MAX_FOLDERS:
            raise UserError(
                f"{key}={in_one_line(folder)} has more than {MAX_FOLDERS:,} folders in it: name "
                "the folder of the data alone."
            )
        identity = _identity(place)
        if identity in seen:
            raise UserError(
                f"{key}: {in_one_line(place)} is a folder that lies at another place of "
                f"{in_one_line(folder)} too: remove the link, or name the folder of the data alone."
            )
        seen.add(identity)
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield place, names


def _identity(folder: str) -> object:
    """Return what tells ``folder`` from all others, by whichever way one comes to it."""
    try:
        status = os.stat(folder)
    except OSError:  # gone since
        return folder
    return status.st_dev, status.st_ino


def matching(pattern: str, key: str) -> tuple[str, list[str]]:
    """Return the folder that ``pattern`` begins with, and the files that it matches, in order.

    ``**`` stands for any number of folders, none of which is a link or hidden.

    Args:
        key: as of :func:`walked`.

    Raises:
        UserError: as of :func:`walked`.
    """
    base = os.path.dirname(pattern)
    while glob.has_magic(base):
        base = os.path.dirname(base)
    if "**" not in pattern.split("/"):
        return base, sorted(file for file in glob.glob(pattern) if os.path.isfile(file))
    parts = pattern[len(base) :].strip("/").split("/")
    found = [
        file
        for place, names in walked(base or ".", key)
        for file in (os.path.join(place, name) for name in names)
        if _fits(os.path.relpath(file, base or ".").split("/"), parts) and os.path.isfile(file)
    ]
    return base, sorted(found)


def _fits(names: Sequence[str], parts: Sequence[str]) -> bool:
    """Whether the ``parts`` of a pattern match the ``names`` of a path, as a shell matches them."""
    shown = next((i for i, name in enumerate(names) if name.startswith(".")), len(names))
    reached = {0}
    for part in parts:
        if part == "**":
            first = min(reached, default=len(names) + 1)
            reached |= set(range(first, shown + 1))
            continue
        reached = {
            place + 1
            for place in reached
            if place < len(names)
            and fnmatch.fnmatchcase(names[place], part)
            and names[place].startswith(".") <= part.startswith(".")
        }
    return len(names) in reached
