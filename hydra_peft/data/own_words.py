"""How data of one's own is chosen, where its folder or file was given in another place."""

from __future__ import annotations

import os
import shlex
from itertools import islice
from pathlib import Path

from hydra_peft.config.quoting import override_value
from hydra_peft.data.own_data import SPLIT_NAMES, is_hidden, is_image

#: entries of a folder, and folders in it, that are looked at
_ENTRIES, _FOLDERS = 1000, 10
#: files that are tables of images, by the ends of their names
_TABLES = {".csv": "csv", ".parquet": "parquet"}


def own_words(place: str | Path) -> str | None:
    """Return the sentence, without its stop, on how the images at ``place`` are read.

    None where it is no folder of images or of classes, each a folder of images, and no table.
    """
    path = Path(os.path.expanduser(place))  # a ~ before what is no user stays
    source = _TABLES.get(path.suffix.lower()) if path.is_file() else None
    if source is None and not _has_images(path, 2):
        return None
    key = "root" if source is None else "file"
    word = shlex.quote(f"dataset.{key}={override_value(os.path.abspath(path))}")
    return f"images of your own are read with dataset={source or 'folder'} {word}"


def _has_images(folder: Path, levels: int) -> bool:
    """Whether images lie in ``folder``, or so many ``levels`` below it: of classes, or of splits
    with classes."""
    try:
        with os.scandir(folder) as entries:
            found = [e for e in islice(entries, _ENTRIES) if not is_hidden(e.name)]
            if any(is_image(e.name) and e.is_file() for e in found):
                return True
            inside = [e.name for e in found if levels and e.is_dir()][:_FOLDERS]
    except (OSError, ValueError):  # not there, no folder, or with a NUL in its name
        return False
    return any(
        _has_images(folder / name, levels - 1 if name.lower() in SPLIT_NAMES else 0)
        for name in inside
    )
