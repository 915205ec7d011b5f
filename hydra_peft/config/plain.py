"""A checked config as plain values, as it crosses processes and stands in a run's folder."""

from __future__ import annotations

import dataclasses
import functools
import typing
from collections.abc import Mapping
from typing import Any

from hydra_peft.config.schema import DatasetConfig, RunConfig
from hydra_peft.data.sources import options_class
from hydra_peft.errors import UserError
from hydra_peft.heads import head_class
from hydra_peft.methods import method_class
from hydra_peft.optimizers import optimizer_class
from hydra_peft.plugins import use
from hydra_peft.schedules import schedule_class
from hydra_peft.trackers import tracker_class

#: groups whose ``name`` chooses their class, with an example
CHOSEN = {
    "method": (method_class, "method=lora"),
    "head": (head_class, "head=linear"),
    "optimizer": (optimizer_class, "optimizer=adamw"),
    "scheduler": (schedule_class, "scheduler=cosine"),
}


def as_plain(config: RunConfig) -> dict[str, Any]:
    """Return ``config`` as values that json and yaml hold; :func:`from_plain` takes them back."""
    values = dataclasses.asdict(config)
    for group in CHOSEN:
        values[group] = {"name": getattr(config, group).name, **values[group]}
    values["dataset"] |= values["dataset"].pop("source_options") or {}
    return values


def as_configured(config: RunConfig) -> dict[str, Any]:
    """Return the values of ``config`` that a user can set: those of a run's ``config.yaml``."""
    values = as_plain(config)
    del values["settings"]
    return values


def from_plain(values: Mapping[str, Any]) -> RunConfig:
    """Return the config of :func:`as_plain`, which was checked when it was composed.

    Raises:
        UserError: a key or a value is none that its group may have, or no class has a group's name.
    """
    use(values.get("plugins", []))  # of the job that a process was handed, not of a run's folder
    return from_recorded(values)


def from_recorded(values: Mapping[str, Any]) -> RunConfig:
    """Return what :func:`from_plain` does, and load none of the modules that ``values`` name."""
    return RunConfig(**{key: _part(key, value) for key, value in values.items()})


def build(cls: Any, options: Mapping[str, Any]) -> Any:
    """Build a dataclass from plain values, nested dataclasses and mappings to such first."""
    hints = _hints(cls)
    return cls(**{key: _built(hints[key], value) for key, value in options.items()})


_hints = functools.cache(typing.get_type_hints)  # evaluating them takes longer than building


def _built(hint: Any, value: Any) -> Any:
    if dataclasses.is_dataclass(hint):
        return build(hint, value)
    inside = typing.get_args(hint)
    if typing.get_origin(hint) is dict and dataclasses.is_dataclass(inside[1]):
        return {name: build(inside[1], item) for name, item in value.items()}
    return value


@functools.cache
def types() -> dict[str, Any]:
    """Return the types of a run's groups and single values by key."""
    return typing.get_type_hints(RunConfig)


def _part(key: str, value: Any) -> Any:
    if key not in types():
        raise UserError(f"unknown key '{key}': a run's config has {', '.join(types())}.")
    if key in CHOSEN:
        options = dict(value)
        return build(CHOSEN[key][0](options.pop("name")), options)
    if key == "logger":
        return {name: build(tracker_class(name), options) for name, options in value.items()}
    if key == "dataset":
        return build(types()[key], _with_source_options(value))
    return build(types()[key], value) if dataclasses.is_dataclass(types()[key]) else value


def _with_source_options(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of ``dataset``, those keys built that its source has of its own."""
    if (own := options_class(values.get("source"))) is None:
        return dict(values)
    mine, rest = apart(own, values)
    return {**rest, "source_options": build(own, mine)}


def apart(own: Any, values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the values of ``dataset`` that a source's options ``own`` have, and the others.

    A key of ``dataset`` that the source reads too, such as ``name``, is in both.
    """
    names = {field.name for field in dataclasses.fields(own)}
    common = {field.name for field in dataclasses.fields(DatasetConfig)}
    mine = {key: value for key, value in values.items() if key in names}
    rest = {key: value for key, value in values.items() if key in common or key not in names}
    return mine, rest
