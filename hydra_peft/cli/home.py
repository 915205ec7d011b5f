"""Paths in overrides as one types them: with ``~/``, and run folders, whose names have a ``=``.

Shells leave both alone there, and Hydra does not understand them.
"""

from __future__ import annotations

import os

from hydra_peft.config.quoting import override_value

PATH_KEYS = ("model.checkpoint", "paths.runs", "paths.cache", "paths.data", "init_from")


def expand_home(word: str) -> str:
    """Return a word of the command line, with a ``~/`` that starts a path written out.

    A path with a ``=`` in it comes in quotes. Other words come back as they are; of several paths
    with commas, as in a sweep, each is looked at.
    """
    key, equals, value = word.partition("=")
    if not equals or key.lstrip("+") not in PATH_KEYS:
        return word
    return f"{key}={','.join(_expanded(path) for path in value.split(','))}"


def _expanded(path: str) -> str:
    mark = path[:1]
    bare = path[1:-1] if mark in ("'", '"') and len(path) > 1 and path.endswith(mark) else path
    if bare == "~" or bare.startswith("~/"):
        return override_value(os.path.expanduser(bare))
    return (
        override_value(path)
        if bare == path and "=" in path and not set("()[]{}") & set(path)
        else path
    )
