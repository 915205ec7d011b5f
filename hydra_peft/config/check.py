"""From a composed config to a :class:`RunConfig`: the only place where yaml becomes types."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, cast

from omegaconf import MISSING, DictConfig, ListConfig, OmegaConf

from hydra_peft import augmentations
from hydra_peft.augmentations import augmentation_class
from hydra_peft.config.composed_values import is_plain, resolved_section, section_of, single_value
from hydra_peft.config.found_out import found_out
from hydra_peft.config.interpolations import check_roles
from hydra_peft.config.omegaconf_errors import unknown_key
from hydra_peft.config.plain import CHOSEN, apart, types
from hydra_peft.config.recorded_values import as_current
from hydra_peft.config.resolved import Resolved
from hydra_peft.config.schema import DataConfig, RunConfig
from hydra_peft.config.settings import is_recipes, settings_of
from hydra_peft.config.starts import start_of, task_of_start
from hydra_peft.config.typed import check_value, typed
from hydra_peft.config.typed_grid import whole_grid
from hydra_peft.data.sources import options_class
from hydra_peft.errors import UserError
from hydra_peft.files import whole_texts
from hydra_peft.limits import words_of
from hydra_peft.plain_text import quoted
from hydra_peft.plugins import naming, use, used
from hydra_peft.registry import module_names
from hydra_peft.trackers import Tracker, tracker_class

#: keys of groups with a ``name`` that are no options; ``recipe`` says which of a recipe's rates
_NO_OPTIONS = ("name", "recipe")


def check_config(
    config: DictConfig, resolved: Resolved | None = None, *, changeable: bool = False
) -> RunConfig:
    """Return the typed run that ``config`` describes.

    Args:
        config: composed, without Hydra's node.
        resolved: of the sweep that ``config`` is a job of.
        changeable: whether ``config`` may get what is found out; copying it takes long.

    Raises:
        UserError: an unknown or missing key, a value of the wrong type or out of its limits; one
            sentence with the full key, what was expected, and near names.
    """
    resolved = resolved or Resolved()
    use(named_plugins(config))
    config = found_out(config, resolved, changeable=changeable)
    raw = cast(dict[str, Any], OmegaConf.to_container(config, resolve=False))
    values = _typed_groups(config, raw, resolved)
    classes = {key: type(value) for key, value in values.items()}
    given, recipe = values["protocol"].grid, values["dataset"].recipe
    # What is rebuilt has no recipe for its method: its grid is whole.
    kind = raw["method"].get("recipe", "")
    grid = whole_grid(given, recipe, kind, classes)
    values["protocol"] = dataclasses.replace(values["protocol"], grid=grid)
    task = task_of_start(values.get("init_from"))
    checked = RunConfig(**{**values, "init_from": None} if task else values, settings={})
    if task:
        from hydra_peft.runs.starting import start_of_task  # records are read there

        alone = dataclasses.replace(checked, settings=settings_of(checked, raw))
        start = start_of_task(alone, task)
        if start is None and not is_recipes(raw["init_from"]):
            raise UserError(
                f"init_from=task:{task} is not for method '{checked.method.name}', which has no "
                "adapter to start from: set init_from=null for it, or choose another method."
            )
        checked = dataclasses.replace(checked, init_from=start)
    return dataclasses.replace(checked, settings=settings_of(checked, raw))


def _typed_groups(config: DictConfig, raw: dict[str, Any], resolved: Resolved) -> dict[str, Any]:
    """Return the typed groups and single values of a run by key."""
    _check_keys(raw)
    texts = {key: repr(value) for key, value in raw.items()}
    for key, text in texts.items():
        if "\\ud" in text and whole_texts(raw[key]) != raw[key]:
            raise UserError(
                f"{key} has half a character ('\\ud800' to '\\udfff'), which no text in UTF-8 "
                "has, and a run's config is written in it."
            )
    single = {
        key: resolved.get(key, texts, functools.partial(single_value, config, key))
        for key, value in raw.items()
        if not isinstance(value, dict)
    }
    values: dict[str, Any] = {}
    # Others take values from these two: a mistake in them is named there.
    for key in sorted(_needed(raw, single), key=lambda key: key not in ("dataset", "train")):
        kind = types()[key]
        if dataclasses.is_dataclass(kind):
            section = section_of(config, key)
            resolve = functools.partial(resolved_section, section, key)
            plain = raw[key] if is_plain(texts[key]) else resolved.get(key, texts, resolve)
            check_roles(key, raw[key], plain)
            values[key] = _group(kind, plain, key)
        elif key == "plugins":
            values[key] = named_plugins(config)
        elif key == "logger":
            values[key] = _trackers(resolved_section(section_of(config, key), key))
        elif key == "init_from":
            values[key] = start_of(single.get(key, raw[key]))
        else:
            words = words_of(RunConfig, key)
            values[key] = check_value(kind, single.get(key, raw[key]), key, words)
    return values


def _trackers(values: dict[str, Any]) -> dict[str, Tracker]:
    """Return the typed options of each tracker by its name."""
    classes = {name: tracker_class(name) for name in values}
    for name, options in values.items():
        if not isinstance(options, dict | None):
            raise UserError(f"logger.{name} is a group of settings, not {quoted(options)}.")
    return {name: typed(cls, values[name] or {}, f"logger.{name}") for name, cls in classes.items()}


def _check_keys(raw: dict[str, Any]) -> None:
    expected = [f.name for f in dataclasses.fields(RunConfig) if f.name != "settings"]
    for key in raw:
        if key not in expected:
            raise UserError(unknown_key(str(key), str(key), expected))


def _needed(raw: dict[str, Any], single: dict[str, Any]) -> list[str]:
    """Return the keys that a run has: all but those with a default that are not there."""
    there = [key for key in raw if single.get(key) != MISSING]
    found = []
    for field in dataclasses.fields(RunConfig):
        if field.name in there:
            found.append(field.name)
        elif field.name != "settings" and _has_no_default(field):
            raise UserError(f"the config has no '{field.name}': it is needed, see conf/train.yaml.")
    return found


def check_recorded(values: Mapping[str, Any]) -> RunConfig:
    """Return the typed run that the plain values of a run's ``config.yaml`` describe.

    Raises:
        UserError: see :func:`check_config`.
    """
    composed = OmegaConf.create(as_current(values))
    if missing := [name for name in named_plugins(composed) if name not in used()]:
        raise UserError(
            f"it needs {', '.join(missing)}, which a run's folder may not load: {naming(missing)}."
        )
    return check_config(composed)


def named_plugins(config: DictConfig) -> list[str]:
    """Return the modules that ``plugins`` names, each once, sorted.

    Raises:
        UserError: it is no list of names of modules.
    """
    found = OmegaConf.select(config, "plugins", default=[])
    names = OmegaConf.to_container(found) if isinstance(found, ListConfig) else found
    if not isinstance(names, list) or not all(_is_module_name(name) for name in names):
        raise UserError(
            f"plugins={quoted(names)} is not allowed: it must be a list of names of modules, such "
            "as [my_package.my_method]."
        )
    return sorted(set(names))


def _is_module_name(name: object) -> bool:
    return isinstance(name, str) and all(part.isidentifier() for part in name.split("."))


def _has_no_default(field: dataclasses.Field[Any]) -> bool:
    return field.default is field.default_factory is dataclasses.MISSING


def _group(cls: Any, values: dict[str, Any], key: str) -> Any:
    """Return the typed group ``key``, with the keys of their own that a data set's source and an
    augmentation have."""
    if key == "dataset" and "source_options" in values:
        raise UserError("unknown key 'dataset.source_options': its keys stand in dataset itself.")
    if key == "data":
        return _with_augment_options(typed(DataConfig, values, key))
    own = options_class(values.get("source")) if key == "dataset" else None
    if own is None:
        return _chosen(key, values) or typed(cls, values, key)
    mine, rest = apart(own, values)
    options: Any = typed(own, mine, key)
    return dataclasses.replace(typed(cls, rest, key), source_options=options)


def _with_augment_options(data: DataConfig) -> DataConfig:
    """Return ``data`` with every option of its augmentation, typed."""
    cls: Any = augmentation_class(data.augment)
    for key in sorted(data.augment_options.keys() - _fields(cls)):
        others = [n for n in module_names(augmentations) if key in _fields(augmentation_class(n))]
        if others:
            raise UserError(
                f"unknown key 'data.augment_options.{key}' of data.augment={data.augment}: it is "
                f"of data.augment={', '.join(others)}."
            )
    options: Any = typed(cls, data.augment_options, "data.augment_options")
    return dataclasses.replace(data, augment_options=dataclasses.asdict(options))


def _fields(cls: Any) -> set[str]:
    return {field.name for field in dataclasses.fields(cls)}


def _chosen(key: str, values: dict[str, Any]) -> Any:
    """Return the typed group ``key`` of the class that its name chooses; None if it has but one."""
    if key not in CHOSEN:
        return None
    find, example = CHOSEN[key]
    name = values.get("name")
    if not isinstance(name, str):
        raise UserError(f"{key}.name is missing: choose one, such as {example}.")
    options = {option: value for option, value in values.items() if option not in _NO_OPTIONS}
    return typed(find(name), options, key)
