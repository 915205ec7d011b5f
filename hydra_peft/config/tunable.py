"""Keys of a config that tuning may choose: hyper-parameters, no data, split, seed or machine."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple

import hydra_peft.methods
import hydra_peft.optimizers
import hydra_peft.schedules
from hydra_peft.config.grid import dotted, ordered
from hydra_peft.config.identity import NOT_SCIENCE
from hydra_peft.config.other_names import meant_by_others
from hydra_peft.errors import UserError, did_you_mean
from hydra_peft.methods import method_class
from hydra_peft.optimizers import optimizer_class
from hydra_peft.registry import module_names
from hydra_peft.schedules import schedule_class

#: keys by group; None stands for all that the group's class has
_GROUPS: dict[str, tuple[str, ...] | None] = {
    "optimizer": None,
    "scheduler": None,
    "method": None,
    "train": None,
    "model": ("drop_path",),
    "data": ("normalization",),
}
#: groups whose ``name`` chooses their class: a package with a module for each, and the look-up
_CHOSEN: dict[str, tuple[Any, Callable[[str], type]]] = {
    "method": (hydra_peft.methods, method_class),
    "optimizer": (hydra_peft.optimizers, optimizer_class),
    "scheduler": (hydra_peft.schedules, schedule_class),
}
_SAID = "keys of optimizer, scheduler, method and train, model.drop_path or data.normalization"
_REASONS = {
    "dataset": "would change the data or the task, so that scores could not be compared",
    "data": "would change the data, so that scores could not be compared",
    "protocol": "would change the splits or the protocol, so that scores could not be compared",
    "model": "would change the backbone: compare backbones in a table, as in -m model=...",
    "seed": "is no hyper-parameter: a seed that is chosen by its score says nothing of others",
}
_PREFIX = "protocol.grid"


class RecipeLeaf(NamedTuple):
    """One entry of ``dataset.recipe.grid``.

    Attributes:
        path: as it is written there.
        key: which key of the config its values are of.
        kind: of the methods that they are for, such as ``adapter``; empty for all.
        values: unchecked.
    """

    path: str
    key: str
    kind: str
    values: Any


def leaves_of_recipe(grid: Mapping[str, Any], kinds: Collection[str]) -> list[RecipeLeaf]:
    """Return the entries of ``dataset.recipe.grid``, for all methods or one of ``kinds``."""
    found = []
    for path, values in _leaves(grid):
        key, _, kind = path.rpartition(".")
        key, kind = (key, kind) if kind in kinds else (path, "")
        found.append(RecipeLeaf(path, next(iter(dotted({key: None}))), kind, values))
    return found


def flattened(grid: Mapping[str, Any], beside: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return ``grid`` by dotted key, in the order in which it is tried; its values unchecked.

    Groups may be nested (``optimizer: {lr: [...]}``), a null leaves a key out, and older code's
    ``lr``, ``scale`` and ``dropout`` are understood. Keys of ``beside`` are added where ``grid``
    does not have them.

    Raises:
        UserError: a key stands there twice, or a value is no list of at least one.
    """
    found: dict[str, Any] = {}
    for path, values in _leaves(grid):
        (key,) = dotted({path: values})
        if key in found:
            raise UserError(
                f"{_PREFIX} has {key} twice, in one line and in its group: write it as the "
                "protocol does, which replaces its values."
            )
        found[key] = values
    whole = {**(beside or {}), **found}
    grid = {key: values for key, values in whole.items() if values is not None}
    for key, values in grid.items():
        if not isinstance(values, list):
            raise UserError(
                f"{_PREFIX}.{key} is a single value where a list is meant: write it as "
                f"{_PREFIX}.{key}=[a,b]."
            )
        if not values:
            raise UserError(
                f"{_PREFIX}.{key}=[] is not allowed: it must be a list of at least one value, or "
                "null to leave the key out."
            )
    return ordered(grid)


def _leaves(grid: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in grid.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{key}.")
        else:
            yield key, value


def may_be_tuned(key: str) -> bool:
    """Whether tuning may choose ``key``, as far as its name says."""
    group, _, name = key.partition(".")
    allowed = _GROUPS.get(group, ())
    science = name not in ("name", *NOT_SCIENCE.get(group, ()))
    return bool(name) and (science if allowed is None else name in allowed)


def owner(key: str, classes: Mapping[str, type]) -> tuple[type, str]:
    """Return the class that has the option ``key`` of a grid, and the option's name there.

    Args:
        key: dotted.
        classes: of the run's groups; an option that the run's method (optimizer, schedule) does
            not have may be that of another one.

    Raises:
        UserError: tuning may not choose this key, or there is none such.
    """
    group, _, name = key.partition(".")
    if group not in _GROUPS or not name:
        raise UserError(_refusal(key, group, classes))
    cls, allowed = classes[group], _GROUPS[group]
    if group in _CHOSEN and name == "name":
        raise UserError(
            f"{_PREFIX}.{key} would choose between {group}s, which have other options each: "
            f"compare them in a table, as in -m {group}=..."
        )
    if name in NOT_SCIENCE.get(group, ()) and allowed is None:
        raise UserError(f"{_PREFIX}.{key} decides how fast a run is, not its result.")
    if allowed is not None and name not in allowed and name in _names(cls):
        raise UserError(_refusal(key, group, classes))
    known = [n for n in _names(cls) if n not in NOT_SCIENCE.get(group, ())]
    if name in (known if allowed is None else allowed):
        return cls, name
    others = _others(group)
    for other in others:
        if name in _names(other):
            return other, name
    known = sorted(
        {*(known if allowed is None else allowed), *(n for o in others for n in _names(o))}
    )
    near = meant_by_others(key, f"{_PREFIX}.") or did_you_mean(name, known)
    raise UserError(f"unknown key '{_PREFIX}.{key}'{near}; known here: {', '.join(known)}.")


def _names(cls: type) -> list[str]:
    return [field.name for field in dataclasses.fields(cls)]


def _tunable(group: str, classes: Mapping[str, type]) -> list[str]:
    """Return the names of the options of ``group`` that tuning may choose."""
    names = [name for cls in (classes[group], *_others(group)) for name in _names(cls)]
    return [name for name in names if may_be_tuned(f"{group}.{name}")]


def _others(group: str) -> list[type]:
    if group not in _CHOSEN:
        return []
    package, find = _CHOSEN[group]
    return [find(name) for name in module_names(package)]


def _refusal(key: str, group: str, classes: Mapping[str, type]) -> str:
    if group in _REASONS:
        return f"{_PREFIX}.{key} {_REASONS[group]}; tuning chooses {_SAID}."
    if group in classes:
        return f"{_PREFIX}.{key} is no hyper-parameter; tuning chooses {_SAID}."
    meant = [f"{one}.{key}" for one in _GROUPS if key in _tunable(one, classes)]
    # Those that the run has stand before those of other methods.
    meant.sort(key=lambda full: key not in _names(classes[full.partition(".")[0]]))
    if meant:
        near = f" (did you mean '{_PREFIX}.{meant[0]}'?)"
    else:
        near = meant_by_others(key, f"{_PREFIX}.") or did_you_mean(group, list(_GROUPS))
    return f"unknown key '{_PREFIX}.{key}'{near}; tuning chooses {_SAID}."
