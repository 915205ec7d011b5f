"""Text and values of unknown origin, made fit to be shown: bounded, and nothing in them acts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

#: characters of a name, a cell, a sentence
MAX_TEXT = 400
#: levels of a record's values; ours have four
MAX_DEPTH = 8
#: entries of one list or mapping
MAX_ENTRIES = 200


def plain(text: str, limit: int = MAX_TEXT, *, keep: str = "") -> str:
    """Return ``text`` cut to ``limit`` characters, with what cannot be seen written out.

    Control characters, marks that turn the direction of writing, line ends and halves of
    characters become their escapes, such as ``\\x1b`` or ``\\u202e``: a name is to look like what
    it is. Nothing here escapes for HTML; the templates do.

    Args:
        text: anything.
        limit: how many characters are kept.
        keep: unprintable characters that may stay, such as line ends in a file.
    """
    cut = text[:limit]
    shown = cut if cut.isprintable() else "".join(_visible(char, keep) for char in cut)
    return shown + "…" if len(text) > limit else shown


def _visible(char: str, keep: str) -> str:
    if char.isprintable() or char in keep:
        return char
    return char.encode("unicode_escape").decode()


def bounded(value: Any, depth: int = MAX_DEPTH) -> Any:
    """Return ``value``, as json has it, with every text :func:`plain` and nothing without end."""
    if isinstance(value, str):
        return plain(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**53 else plain(str(value))
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if depth == 0:
        return "…"
    if isinstance(value, Mapping):
        entries = [(plain(str(k)), bounded(v, depth - 1)) for k, v in _first(value.items())]
        return dict(entries) | ({"…": _more(value)} if len(value) > MAX_ENTRIES else {})
    if isinstance(value, (list, tuple)):
        items = [bounded(item, depth - 1) for item in _first(value)]
        return items + ([_more(value)] if len(value) > MAX_ENTRIES else [])
    return plain(str(value))


def _first(values: Any) -> list[Any]:
    return list(values)[:MAX_ENTRIES]


def _more(value: Any) -> str:
    return f"{len(value) - MAX_ENTRIES} more"
