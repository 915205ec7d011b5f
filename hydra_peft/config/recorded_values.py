"""Values of a run's ``config.yaml`` with the keys that this version has."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from hydra_peft.data.split_roles import BEFORE as SPLITS_BEFORE

#: keys of earlier code that decided nothing; the configs of its runs still have them
_RETIRED = {"dataset": ("column",)}
#: keys that came later and have no default, with what held for runs before
_ADDED = {"dataset": {"splits": dataclasses.asdict(SPLITS_BEFORE)}}


def as_current(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plain values of a run's config for this version.

    Keys that have been retired since are left out, and those that were added have what held before;
    where the run was shown is left out too: what is rebuilt need not have that package.
    """
    current = {key: value for key, value in values.items() if key != "logger"}
    for group, retired in _RETIRED.items():
        if isinstance(current.get(group), dict):
            current[group] = {k: v for k, v in current[group].items() if k not in retired}
    for group, added in _ADDED.items():
        if isinstance(current.get(group), dict):
            current[group] = {**added, **current[group]}
    return current
