"""Patterns by which layers are named, such as ``attn.proj``; no torch."""

from __future__ import annotations

from fnmatch import fnmatchcase


def matches(name: str, pattern: str) -> bool:
    """Whether ``pattern`` means the module ``name``: the whole name or its last dotted parts.

    ``*``, ``?`` and ``[...]`` work as in a shell: ``attn.proj`` matches it in every block,
    ``blocks.0.*`` everything in the first, ``blocks.[0-5].mlp.fc2`` that of six blocks. A name with
    such characters in it means itself too.
    """
    if name == pattern or name.endswith(f".{pattern}"):
        return True
    return fnmatchcase(name, pattern) or fnmatchcase(name, f"*.{pattern}")
