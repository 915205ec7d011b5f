"""Folders of image files that a list elsewhere names."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from hydra_peft.errors import UserError


def check_listing(folder: Path, suffix: str, listed: Iterable[str], listing: Path) -> None:
    """Check that ``folder`` holds exactly the files ``listed``.

    Names come out as plain file names, since nothing else is found in a folder. Hidden files and
    those with another suffix do not count.

    Args:
        folder: where the images are.
        suffix: what an image's name ends with.
        listed: file names, each once.
        listing: the file that lists them, for messages.

    Raises:
        UserError: ``folder`` is no folder, a listed file is not in it, or one in it is not listed.
    """
    try:
        with os.scandir(folder) as entries:
            present = {
                entry.name
                for entry in entries
                if entry.name.endswith(suffix) and not entry.name.startswith(".")
            }
    except OSError as error:
        raise UserError(f"cannot read the folder {folder}: {error.strerror or error}.") from None
    wanted = set(listed)
    if missing := sorted(wanted - present):
        raise UserError(
            f"{folder} lacks {_some(missing)}, listed in {listing}: unpack the archive again."
        )
    if extra := sorted(present - wanted):
        raise UserError(
            f"{folder} holds {_some(extra)}, not listed in {listing}: one of the two belongs to "
            "another version, unpack both archives again."
        )


def check_present(folder: Path, names: Sequence[str], listing: Path) -> None:
    """Check that all files ``names`` are in ``folder``.

    Args:
        folder: where the images are.
        names: paths below it.
        listing: the file that lists them, for messages.
    """
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        others = f" and {len(missing) - 1:,} more" if len(missing) > 1 else ""
        raise UserError(
            f"{folder} lacks {missing[0]}{others}, listed in {listing}: unpack the images again."
        )


def _some(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
