"""Optimizers by name: one module each, its class bound to ``OPTIMIZER``."""

from __future__ import annotations

import sys

from hydra_peft.optimizers._base import Optimizer
from hydra_peft.registry import find_module

__all__ = ["Optimizer", "optimizer_class"]


def optimizer_class(name: str) -> type[Optimizer]:
    """Return the class of the optimizer called ``name``; its fields are the options.

    Raises:
        UserError: no optimizer has that name.
    """
    found: type[Optimizer] = find_module(sys.modules[__name__], name, "optimizer.name").OPTIMIZER
    return found
