"""Learning rate schedules by name: one module each, its class bound to ``SCHEDULE``."""

from __future__ import annotations

import sys

from hydra_peft.registry import find_module
from hydra_peft.schedules._base import LearningRate, Schedule

__all__ = ["LearningRate", "Schedule", "schedule_class"]


def schedule_class(name: str) -> type[Schedule]:
    """Return the class of the schedule called ``name``; its fields are the options.

    Raises:
        UserError: no schedule has that name.
    """
    found: type[Schedule] = find_module(sys.modules[__name__], name, "scheduler.name").SCHEDULE
    return found
