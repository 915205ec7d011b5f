"""Manifest of a prepared task: its examples, their origin, and the code that made it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL

from hydra_peft import __version__
from hydra_peft.errors import UserError
from hydra_peft.files import MAX_JSON_BYTES, write_json
from hydra_peft.workshop.prepare.originals._base import Key, OfEachClass, Piece, Pool, Slice
from hydra_peft.workshop.prepare.originals._source import SourceFolder


def write_manifest(path: Path, content: Mapping[str, Any]) -> None:
    """Write ``content``, and see to it that it can be read again.

    Raises:
        UserError: it is larger than what is read; dSprites' 73,728 test images take 7 MB of 16.
    """
    write_json(path, content)
    size = path.stat().st_size
    if size > MAX_JSON_BYTES:
        raise UserError(
            f"{path} would have {size:,} bytes and could not be read again: the names of the "
            "original's examples are far longer than any published ones."
        )


def describe_slices(
    slices: Mapping[str, Piece], pools: Mapping[str, Pool], limits: Mapping[str, int | None]
) -> dict[str, Any]:
    """Return for each split its pool and its boundaries in hashed order; none of a whole pool."""
    described: dict[str, dict[str, Any]] = {}
    for split, piece in slices.items():
        size = len(pools[piece.pool].keys)
        described[split] = {"pool": piece.pool, "pool_size": size}
        if isinstance(piece, Slice):
            bounds = list(piece.bounds(size, limits[split]))
            described[split] |= {"percent": [piece.start, piece.stop], "bounds": bounds}
        elif isinstance(piece, OfEachClass):
            described[split] |= {"of_each_class": [piece.start, piece.stop, piece.of]}
    return described


def describe_source(source: SourceFolder) -> dict[str, Any]:
    """Return name, page, files with their hashes, and notes of an original."""
    return {
        "original": source.name,
        "page": source.page,
        "sources": source.hashes(),
        "notes": source.notes,
    }


def readable(keys: Sequence[Key]) -> list[int | str]:
    """Return keys as json can hold them; bytes as UTF-8, other bytes as ``\\xff``."""
    return [
        key.decode("utf-8", "backslashreplace") if isinstance(key, bytes) else key for key in keys
    ]


def versions() -> dict[str, str | None]:
    """Return the versions of what made the images; OpenCV's if it was used."""
    return {
        "hydra_peft": __version__,
        "pillow": PIL.__version__,
        "numpy": np.__version__,
        "opencv": getattr(sys.modules.get("cv2"), "__version__", None),
    }
