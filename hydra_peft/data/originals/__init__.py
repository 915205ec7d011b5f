"""The public data sets that tasks are made of, in their original formats: one module each.

A module binds ``ORIGINAL``, an :class:`~hydra_peft.data.originals._base.Original`; nothing lists
them.
"""

from __future__ import annotations

import importlib
import pkgutil

from hydra_peft.data.originals._base import Original


def originals() -> list[Original]:
    """Return all originals, in the order of their modules' names."""
    names = [m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")]
    return [importlib.import_module(f"{__name__}.{name}").ORIGINAL for name in sorted(names)]
