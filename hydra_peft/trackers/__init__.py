"""Trackers by name, which show how runs go: one module each, its class bound to ``TRACKER``."""

from __future__ import annotations

import sys

from hydra_peft.registry import find_module
from hydra_peft.trackers._base import Session, Start, Tracker

__all__ = ["Session", "Start", "Tracker", "tracker_class"]


def tracker_class(name: str) -> type[Tracker]:
    """Return the class of the tracker called ``name``; its fields are the options.

    Raises:
        UserError: no tracker has that name.
    """
    found: type[Tracker] = find_module(sys.modules[__name__], name, "logger").TRACKER
    return found
