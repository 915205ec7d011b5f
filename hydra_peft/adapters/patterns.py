"""Patterns by which layers are named, such as ``attn.proj``; no torch."""

from __future__ import annotations

from fnmatch import fnmatchcase

#: in the names of modules that compute positions inside attention out of coordinates
_POSITIONS = "rel_pos"


def matches(name: str, pattern: str) -> bool:
    """Whether ``pattern`` means the module ``name``: the whole name or its last dotted parts.

    ``*``, ``?`` and ``[...]`` work as in a shell: ``attn.proj`` matches it in every block,
    ``blocks.0.*`` everything in the first, ``blocks.[0-5].mlp.fc2`` that of six blocks. A name with
    such characters in it means itself too.

    What computes positions inside attention (timm's ``attn.rel_pos.mlp``) is no block's MLP: a
    pattern means it that has it in it, such as ``rel_pos.mlp.fc2`` or ``blocks.0.*``.
    """
    parts = name.split(".")
    for start in range(len(parts)):
        ending = ".".join(parts[start:])
        if ending == pattern or fnmatchcase(ending, pattern):
            return not any(_POSITIONS in part for part in parts[:start])
    return False
