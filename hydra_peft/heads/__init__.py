"""Task heads by name: one module each, its class bound to ``HEAD``."""

from __future__ import annotations

import sys

from hydra_peft.heads._base import Head
from hydra_peft.registry import find_module

__all__ = ["Head", "head_class"]


def head_class(name: str) -> type[Head]:
    """Return the class of the head called ``name``; its fields are the options.

    Raises:
        UserError: no head has that name.
    """
    found: type[Head] = find_module(sys.modules[__name__], name, "head.name").HEAD
    return found
