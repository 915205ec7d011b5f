"""The public data sets that tasks are made of, in their original formats: one module each.

A module binds ``ORIGINAL``, an :class:`~hydra_peft.workshop.prepare.originals._base.Original`;
nothing lists them.
"""

from __future__ import annotations

import sys

from hydra_peft.registry import all_modules
from hydra_peft.workshop.prepare.originals._base import Original


def originals() -> list[Original]:
    """Return all originals, in the order of their modules' names."""
    return [module.ORIGINAL for module in all_modules(sys.modules[__name__])]
