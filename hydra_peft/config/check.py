"""From a composed config to a :class:`RunConfig`: the only place where yaml becomes types."""

from __future__ import annotations

import copy
import dataclasses
import functools
import re
import typing
from collections.abc import Mapping
from types import GenericAlias
from typing import Any, TypeVar, cast

from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from hydra_peft.augmentations import augmentation_class
from hydra_peft.backbones.transformers_folder import describe_folder
from hydra_peft.config.grid import SHORT
from hydra_peft.config.identity import TUNED, science
from hydra_peft.config.interpolations import unresolved
from hydra_peft.config.plain import CHOSEN, apart, build, types
from hydra_peft.config.resolved import Resolved
from hydra_peft.config.schema import DataConfig, InitFrom, RecipeConfig, RunConfig
from hydra_peft.config.shapes import SINGLE, check_shapes
from hydra_peft.config.tunable import flattened, leaves_of_recipe, owner
from hydra_peft.data.few_shots import FIT, VAL
from hydra_peft.data.sources import describe, options_class
from hydra_peft.data.split_roles import BEFORE as SPLITS_BEFORE
from hydra_peft.errors import UserError, did_you_mean
from hydra_peft.limits import check_limit, check_limits
from hydra_peft.memo import memo
from hydra_peft.plain_text import quoted, shortened

T = TypeVar("T")

#: keys of groups with a ``name`` that are no options; ``recipe`` says which of a recipe's rates
_NO_OPTIONS = ("name", "recipe")
_RECIPE = "dataset.recipe"
#: what begins an ``init_from`` that names the task of the run and not its folder
_TASK = "task:"
#: what belongs to a task: settings have the reference in its place
_OF_TASK = (_RECIPE, "dataset.prompts")
#: what makes each seed of a row draw shots of its own
_BY_SEED = "${seed}"
#: keys of earlier code that decided nothing; the configs of its runs still have them
_RETIRED = {"dataset": ("column",)}
#: keys that came later and have no default, with what held for runs before
_ADDED = {"dataset": {"splits": dataclasses.asdict(SPLITS_BEFORE)}}
#: keys of ``dataset`` that a source with keys of its own finds out
_FOUND_OUT = ("name", "classes", "splits", "sizes")
#: a pointer to the split that plays a role
_ROLE = re.compile(r"\bdataset\.splits\.(\w+)")
#: what OmegaConf calls its types
_KINDS = {"Integer": SINGLE[int], "Float": SINGLE[float], "Boolean": SINGLE[bool]}
#: groups and grids that passed and are kept: jobs of a sweep share most of theirs
_KEPT = 4096


def check_config(config: DictConfig, resolved: Resolved | None = None) -> RunConfig:
    """Return the typed run that ``config`` describes.

    Args:
        config: composed, without Hydra's node.
        resolved: of the sweep that ``config`` is a job of.

    Raises:
        UserError: an unknown or missing key, a value of the wrong type or out of its limits; one
            sentence with the full key, what was expected, and near names.
    """
    kinds = types()
    resolved = resolved or Resolved()
    config = _described_model(_sampled(_described(config, resolved)))
    raw = cast(dict[str, Any], OmegaConf.to_container(config, resolve=False))
    expected = [f.name for f in dataclasses.fields(RunConfig) if f.name != "settings"]
    for key in raw:
        if key not in expected:
            raise UserError(_unknown_key(str(key), str(key), expected))
    texts = {key: repr(value) for key, value in raw.items()}
    single = {
        key: resolved.get(key, texts, functools.partial(_single, config, key))
        for key, value in raw.items()
        if not isinstance(value, dict)
    }
    there = [key for key in raw if single.get(key) != MISSING]
    later = {f.name for f in dataclasses.fields(RunConfig) if not _is_needed(f)}
    expected = [key for key in expected if key in there or key not in later]
    for key in expected:
        if key not in there:
            raise UserError(f"the config has no '{key}': it is needed, see conf/train.yaml.")
    values: dict[str, Any] = {}
    # Others take values from these two: a mistake in them is named there.
    for key in sorted(expected, key=lambda key: key not in ("dataset", "train")):
        if dataclasses.is_dataclass(kinds[key]):
            section = _section(config, key)
            resolve = functools.partial(_resolved, section, key)
            is_plain = _is_plain(texts[key])
            plain = raw[key] if is_plain else resolved.get(key, texts, resolve)
            _check_roles(key, raw[key], plain)
            values[key] = _group(kinds[key], plain, key)
        elif key == "init_from":
            values[key] = _start(single.get(key, raw[key]))
        else:
            values[key] = _check_value(kinds[key], single.get(key, raw[key]), key)
    classes = {key: type(value) for key, value in values.items()}
    given, recipe = values["protocol"].grid, values["dataset"].recipe
    # What is rebuilt has no recipe for its method: its grid is whole.
    kind = raw["method"].get("recipe", "")
    grid = _whole_grid(given, recipe, kind, classes)
    values["protocol"] = dataclasses.replace(values["protocol"], grid=grid)
    task = starts_from_task(values.get("init_from"))
    checked = RunConfig(**{**values, "init_from": None} if task else values, settings={})
    if task:
        checked = dataclasses.replace(checked, init_from=_start_of_task(checked, task))
    return dataclasses.replace(checked, settings=_as_configured(checked, raw))


def _described(config: DictConfig, resolved: Resolved) -> DictConfig:
    """Return ``config`` with what its data set's source finds out, where it has null.

    A run's record has these values, so that it can be rebuilt without looking.

    Raises:
        UserError: the data is missing, or not as its source needs it.
    """
    written = cast(dict[str, Any], OmegaConf.to_container(config, resolve=False))
    dataset = written.get("dataset")
    if not isinstance(dataset, dict):
        return config
    cls = options_class(dataset.get("source"))
    if cls is None or all(dataset.get(key) is not None for key in _FOUND_OUT):
        return config
    section, source = _section(config, "dataset"), dataset["source"]
    own = {f.name: _value(section, f.name) for f in dataclasses.fields(cls) if f.name in dataset}
    options: Any = typed(cls, own, "dataset")
    found = resolved.once(repr((source, options)), functools.partial(describe, source, options))
    config = copy.deepcopy(config)
    for key, value in found.items():
        if key in own or dataset.get(key) is None:
            OmegaConf.update(config, f"dataset.{key}", value, force_add=True)
    return config


def _described_model(config: DictConfig) -> DictConfig:
    """Return ``config`` with what the folder in ``model.checkpoint`` says, where it has null.

    Arguments that are given beside are kept.

    Raises:
        UserError: it is no folder in Hugging Face form.
    """
    written = cast(dict[str, Any], OmegaConf.to_container(config, resolve=False)).get("model")
    if not isinstance(written, dict) or written.get("architecture", "") is not None:
        return config
    section = _section(config, "model")
    place = _value(section, "checkpoint", "model")
    if place is None:
        raise UserError(
            "model.architecture=null takes a text encoder's shape from its folder: set "
            "model.checkpoint=<folder with config.json, model.safetensors and tokenizer.json>."
        )
    found = describe_folder(str(place))
    found["arguments"] |= _value(section, "arguments", "model") or {}
    config = copy.deepcopy(config)
    for key, value in found.items():
        if written.get(key) is None or key == "arguments":
            OmegaConf.update(config, f"model.{key}", value, force_add=True)
    return config


def _sampled(config: DictConfig) -> DictConfig:
    """Return ``config`` with the splits that a few-shot sample consists of, where one is drawn.

    They play the roles ``fit`` and ``val`` whatever the data set has: of five shots one is held
    out, not a thousand others.
    """
    dataset = config.get("dataset")
    if not isinstance(dataset, DictConfig) or not isinstance(dataset.get("splits"), DictConfig):
        return config
    given = {key: _value(dataset, key) for key in ("shots", "sampling_seed") if key in dataset}
    if not given.get("shots") or given.get("sampling_seed") is None:
        return config
    config = copy.deepcopy(config)
    for role, name in (("fit", FIT), ("val", VAL)):
        OmegaConf.update(config, f"dataset.splits.{role}", name, force_add=True)
    return config


def _value(section: DictConfig, key: str, group: str = "dataset") -> Any:
    """Return the plain value of a key of ``group``, which may point elsewhere."""
    try:
        value = section[key]
        return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
    except OmegaConfBaseException as error:
        raise UserError(_one_line(error, f"{group}.{key}")) from None


def _single(config: DictConfig, key: str) -> Any:
    """Return the value of the top-level ``key``; :data:`MISSING` where it leads to none."""
    return OmegaConf.select(config, key) if key in config else MISSING


def _is_plain(text: str) -> bool:
    """Whether nothing in ``text`` stands for something else: no interpolation, none missing."""
    return "${" not in text and "???" not in text


def _is_needed(field: dataclasses.Field[Any]) -> bool:
    """Whether older configs have it too."""
    nothing = dataclasses.MISSING
    return field.default is nothing and field.default_factory is nothing


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
    options: Any = typed(cls, data.augment_options, "data.augment_options")
    return dataclasses.replace(data, augment_options=dataclasses.asdict(options))


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


def check_recorded(values: Mapping[str, Any]) -> RunConfig:
    """Return the typed run that the plain values of a run's ``config.yaml`` describe.

    Keys that have been retired since are passed over, and those that were added get what held
    before.

    Raises:
        UserError: see :func:`check_config`.
    """
    current = dict(values)
    for group, retired in _RETIRED.items():
        if isinstance(current.get(group), dict):
            current[group] = {k: v for k, v in current[group].items() if k not in retired}
    for group, added in _ADDED.items():
        if isinstance(current.get(group), dict):
            current[group] = {**added, **current[group]}
    return check_config(OmegaConf.create(current))


def check_section(cls: type[T], config: DictConfig, key: str) -> T:
    """Return the section ``key`` of ``config`` as ``cls``; without it what ``cls`` defaults to.

    Raises:
        UserError: see :func:`check_config`.
    """
    if key not in config:
        return cls()
    return typed(cls, _resolved(_section(config, key), key), key)


def _section(config: DictConfig, key: str) -> DictConfig:
    node = OmegaConf.select(config, key)
    if not isinstance(node, DictConfig):
        raise UserError(f"'{key}' is a group of settings, not the single value {quoted(node)}.")
    return node


def _resolved(node: DictConfig, key: str) -> dict[str, Any]:
    try:
        plain = OmegaConf.to_container(node, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise UserError(_one_line(error, key)) from None
    return cast(dict[str, Any], plain)


def _check_roles(key: str, written: dict[str, Any], values: dict[str, Any]) -> None:
    """Check that the splits that a group points to by their role are there."""
    for name, value in values.items():
        pointer = _ROLE.search(written[name]) if isinstance(written.get(name), str) else None
        if value is None and pointer:
            raise UserError(_no_split(f"{key}.{name}", pointer[1]))


def _no_split(key: str, role: str) -> str:
    return (
        f"{key} takes the split that dataset.splits.{role} names, and this data set names none: "
        "choose another protocol, such as protocol=clean, or a data set that has one."
    )


def typed(cls: type[T], values: dict[str, Any], key: str) -> T:
    """Return the dataclass ``cls`` of plain ``values``, which messages call ``key``.

    Raises:
        UserError: see :func:`check_config`.
    """
    return cast(T, _typed(cls, values, key))


@memo(_KEPT)
def _typed(cls: type, values: dict[str, Any], key: str) -> Any:
    check_shapes(cls, values, key)
    try:
        merged = OmegaConf.merge(OmegaConf.structured(_with_missing(cast(Any, cls))), values)
        options = cast(dict[str, Any], OmegaConf.to_container(merged, throw_on_missing=True))
    except ConfigKeyError as error:
        full = f"{key}.{error.full_key}"
        known = [field.name for field in dataclasses.fields(cast(Any, cls))]
        of = f" of {key}={cls.name}" if key in CHOSEN else ""  # type: ignore[attr-defined]
        raise UserError(_unknown_key(full, full.rsplit(".", 1)[-1], known, of)) from None
    except OmegaConfBaseException as error:
        raise UserError(_one_line(error, f"{key}.{error.full_key}")) from None
    except OverflowError:
        said = shortened(str(values), 200)
        raise UserError(f"{key} has a number that is too large for any key: {said}.") from None
    check_limits(cls, options, f"{key}.")
    return build(cls, options)


@memo(
    _KEPT,
    key=lambda grid, recipe, kind, classes: (
        (grid, recipe.grid, list(recipe.lr), kind),
        *classes.values(),
    ),
)
def _whole_grid(
    grid: dict[str, Any], recipe: RecipeConfig, kind: str, classes: Mapping[str, type]
) -> dict[str, list[Any]]:
    """Return ``protocol.grid``, and beside it what the recipe's has of keys it says nothing of.

    Raises:
        UserError: a value of either is wrong, in the recipe's of any kind of method.
    """
    beside = {}
    for leaf in leaves_of_recipe(recipe.grid, recipe.lr):
        try:
            _typed_grid(flattened({leaf.key: leaf.values}), classes)
        except UserError as error:
            written = f"dataset.recipe.grid.{leaf.path}"
            raise UserError(str(error).replace(f"protocol.grid.{leaf.key}", written)) from None
        # To these three each protocol points, or leaves them out.
        if leaf.key not in SHORT and kind and leaf.kind in ("", kind):
            beside[leaf.key] = leaf.values
    return _typed_grid(flattened(grid, beside), classes)


def _typed_grid(grid: dict[str, Any], classes: Mapping[str, type]) -> dict[str, list[Any]]:
    """Return a flat grid with each value of the type that its key has."""
    typed = {}
    for key, given in grid.items():
        cls, name = owner(key, classes)
        where = f"protocol.grid.{key}"
        typed[key] = [_typed_item(cls, name, v, f"{where}[{i}]") for i, v in enumerate(given)]
    return typed


def _typed_item(cls: type, name: str, value: Any, key: str) -> Any:
    """Return ``value`` as field ``name`` of ``cls`` has it; it is called ``key`` in messages."""
    hint = typing.get_type_hints(cls)[name]
    if hint is bool and not isinstance(value, bool):
        raise UserError(f"{key}={value} is not allowed: it must be true or false.")
    twin = dataclasses.make_dataclass("Item", [(name, hint, dataclasses.field(default=MISSING))])
    try:
        merged = OmegaConf.merge(OmegaConf.structured(twin), {name: value})
        typed = cast(dict[str, Any], OmegaConf.to_container(merged))[name]
    except OmegaConfBaseException as error:
        raise UserError(_one_line(error, key)) from None
    except OverflowError:
        raise UserError(f"{key} is a number that is too large for any key.") from None
    check_limit(typing.get_type_hints(cls, include_extras=True)[name], typed, key)
    return typed


@functools.cache
def _with_missing(cls: type) -> type:
    """Return a plain twin of dataclass ``cls``: its fields and types, none of its checks.

    OmegaConf checks names and types on the twin; the checks of ``cls`` itself then run once, on
    final values, with our own messages.
    """
    hints = typing.get_type_hints(cls)
    fields = []
    for field in dataclasses.fields(cast(Any, cls)):
        hint = hints[field.name]
        inside = typing.get_args(hint)
        if typing.get_origin(hint) is dict and dataclasses.is_dataclass(inside[1]):
            hint = GenericAlias(dict, (inside[0], _with_missing(cast(type, inside[1]))))
        if dataclasses.is_dataclass(hint):
            hint = _with_missing(cast(type, hint))
            fields.append((field.name, hint, dataclasses.field(default_factory=hint)))
        elif field.default is not dataclasses.MISSING:
            fields.append((field.name, hint, dataclasses.field(default=field.default)))
        elif field.default_factory is not dataclasses.MISSING:
            fields.append(
                (field.name, hint, dataclasses.field(default_factory=field.default_factory))
            )
        else:
            fields.append((field.name, hint, dataclasses.field(default=cast(Any, "???"))))
    return dataclasses.make_dataclass(cls.__name__, fields)


def _check_value(kind: type[T], value: Any, key: str) -> T:
    # bool is a subclass of int, yet seed=true is a mistake.
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        typed = {None: "null", True: "true", False: "false"}
        shown = typed[value] if value is None or isinstance(value, bool) else value
        raise UserError(f"{key}={shown} is not allowed: it must be {SINGLE[kind]}.")
    return value


def starts_from_task(value: object) -> str:
    """Return the task of ``init_from=task:<name>``; empty where ``value`` is anything else."""
    return value.removeprefix(_TASK) if isinstance(value, str) and value.startswith(_TASK) else ""


def _start_of_task(config: RunConfig, task: str) -> InitFrom | None:
    from hydra_peft.runs.starting import start_of_task  # records are read there

    return start_of_task(config, task)


def _start(value: object) -> InitFrom | str | None:
    """Return the start that ``init_from`` names: by a run's folder or, recorded, by all of it.

    One that is named by its task stays as it is: it depends on the rest of the config.
    """
    from hydra_peft.runs.starting import origin_of_start  # records are read there

    if isinstance(value, dict) and value.keys() == {f.name for f in dataclasses.fields(InitFrom)}:
        return typed(InitFrom, value, "init_from")
    if value is None or (isinstance(value, str) and starts_from_task(value)):
        return value
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise UserError(
            f"init_from={quoted(value)} is not allowed: it must be the folder of a run, or task: "
            "and the name of a task of the same benchmark."
        )
    return origin_of_start(value)


def _unknown_key(full: str, last: str, known: list[str], of: str = "") -> str:
    listed = ", ".join(known) or "none"
    return f"unknown key '{full}'{of}{did_you_mean(last, known)}; known here: {listed}."


def _one_line(error: OmegaConfBaseException, key: str) -> str:
    reason = str(error).splitlines()[0].rstrip(".")
    if "Missing mandatory value: " in reason:
        missing = reason.rsplit(": ", 1)[1]
        if "." not in missing:  # the error's own key may begin inside of what ``key`` names
            full = str(error.full_key or key)
            missing = key if key.endswith(full) else full
        return f"{missing} has no value: it must be set here, as {missing}=..."
    if (role := _ROLE.search(reason)) and "not found" in reason:
        return _no_split(str(error.full_key or key), role[1])
    if nowhere := unresolved(error, key):
        return nowhere
    wrong = re.fullmatch(r"Value '(.*)' of type '\w+' could not be converted to (\w+)", reason)
    if wrong and wrong[2] in _KINDS:
        value = shortened(wrong[1], 100)
        return f"{key}={value} is not allowed: it must be {_KINDS[wrong[2]]}."
    return f"{key}: {reason}."


def _as_configured(checked: RunConfig, raw: dict[str, Any]) -> dict[str, Any]:
    """Return the science without task and seed, recipe values as references to the recipe."""
    groups = science(checked)
    del groups["dataset"], groups["seed"]
    settings: dict[str, Any] = {}
    start, written = groups.pop("init_from", None), raw.get("init_from")
    if isinstance(written, str) and _RECIPE in written:
        settings["init_from"] = "recipe"  # which starts some tasks from a run and others not
    elif start:
        # Of one row each seed may start from that seed's run.
        settings |= {f"init_from.{key}": start[key] for key in ("task", "settings")}
    for group, values in groups.items():
        if not isinstance(values, dict):
            settings[group] = values
            continue
        for key, value in values.items():
            written = raw.get(group, {}).get(key)
            from_recipe = isinstance(written, str) and any(key in written for key in _OF_TASK)
            by_recipe = from_recipe and value != TUNED
            settings[f"{group}.{key}"] = "recipe" if by_recipe else value
    settings |= checked.dataset.drawn()
    if checked.dataset.samples and raw["dataset"].get("sampling_seed") == _BY_SEED:
        settings["dataset.sampling_seed"] = "seed"  # one row, whose seeds have shots of their own
    warmup = checked.scheduler.warmup_epochs
    tuned = settings["scheduler.warmup_epochs"] == TUNED
    if warmup != checked.dataset.recipe.warmup_epochs and not tuned:
        settings["scheduler.warmup_epochs"] = warmup  # shortened, or set by hand
    return settings
