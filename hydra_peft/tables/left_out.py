"""Settings that records leave out: those with the value that held before there was a choice."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from hydra_peft.config.identity import USUAL, USUAL_HEAD
from hydra_peft.errors import UserError
from hydra_peft.heads import head_class
from hydra_peft.heads._class_vectors import ClassVectors
from hydra_peft.methods import method_class
from hydra_peft.optimizers._base import BEFORE
from hydra_peft.schedules import schedule_class

#: settings that say nothing where none of others is there
_IDLE = {"dataset.sampling_seed": ("dataset.shots", "dataset.train_size")}


def unsaid(settings: Mapping[str, Any], usual: Mapping[str, Any]) -> dict[str, Any]:
    """Return of the keys of ``usual``, the defaults of a run, those that its record leaves out
    since it had the value of before, whatever its data set or its model has by default."""
    before = {f"{group}.{key}": v for group, own in USUAL.items() for key, v in own.items()}
    absent = (key for key in usual if key in before and key not in settings)
    return {
        key: before[key]
        for key in absent
        if key not in _IDLE or any(other in settings for other in _IDLE[key])
    }


def filled(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``settings`` of a run with those that its record leaves out.

    They are of head, optimizer, schedule and method, each as what the run chose there has them; of
    classes that are not there, as those of somebody's package, nothing is known.
    """
    found = {"head.name": USUAL_HEAD["name"], **settings}
    with suppress(UserError):
        if issubclass(head_class(str(found["head.name"])), ClassVectors):
            usual = {f"head.{f.name}": f.default for f in dataclasses.fields(ClassVectors)}
            found = {**usual, **found}
    if "optimizer.name" in settings:
        found = {f"optimizer.{BEFORE[0]}": BEFORE[1], **found}
    with suppress(UserError):
        added = schedule_class(str(settings.get("scheduler.name"))).added
        # None: an option of its class, which it has no use for and its yaml not.
        had = {f"scheduler.{key}": value for key, value in added.items() if value is not None}
        found = {**had, **found}
    with suppress(UserError):
        options = method_class(str(settings.get("method.name"))).added_options()
        found = {**{f"method.{key}": value for key, value in options.items()}, **found}
    return found
