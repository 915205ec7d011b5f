"""Overrides of a row: settings that differ from those of its protocol, method and model.

The defaults that settings are held against come from outside, composed from today's ``conf`` (see
:mod:`hydra_peft.cli.defaults`). They are not taken from records: a record would vouch for itself,
and those of older code have nothing of the kind.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hydra_peft.augmentations import augmentation_class
from hydra_peft.backbones.transformers_folder import FAMILIES, SHAPE
from hydra_peft.checkout import option, whole_option
from hydra_peft.config.grid import dotted
from hydra_peft.errors import UserError
from hydra_peft.heads.roberta import Roberta as RobertaHead
from hydra_peft.plain_text import shortened
from hydra_peft.runs.record import Record
from hydra_peft.tables.left_out import filled, unsaid

_IN_GRID = "protocol.grid."
#: in the value of an option that comes from the task's recipe
_RECIPE = "dataset.recipe"
#: what says which options a run has
_CHOICES = ("method.name", "optimizer.name", "scheduler.name")
#: groups whose options have defaults of their own
_OWN_DEFAULTS = ("head", "optimizer", "scheduler")
#: characters of a setting's value in a label
_LONGEST = 120
#: mark of a row whose hyper-parameters were chosen out of a grid
TUNED = "tuned"
#: mark of one whose were not, where its protocol has them chosen
NOT_TUNED = "not tuned"
#: what a search is without a setting that says so
_GRID = "grid"
#: settings of runs that change their training images
_AUGMENT, _OPTIONS = "data.augment", "data.augment_options"
#: keys of a method's yaml that are no settings
_NO_SETTINGS = ("defaults", "name", "recipe")
#: prompts that are the task's; of which head, other settings say
_OF_TASK = ("head.prompts", "recipe")
_ARCHITECTURE = "model.architecture"
#: mark of a row whose protocol, method or benchmark has no yaml to hold its settings against
UNCHECKED = "SETTINGS NOT CHECKED"
#: settings that a table shows otherwise: in the method's label, as RANDOM WEIGHTS, as TUNED; what
#: precision is usual may depend on the device, so it is named beside the label, never an override
_SHOWN = frozenset(
    {
        "init_from.settings",
        "init_from.task",
        "method.name",
        "method.rank_parallel",
        "method.rank_sequential",
        "model.pretrained",
        "precision",
        "protocol.search",
        "protocol.tune",
    }
)


@dataclass(frozen=True)
class Origin:
    """Origin of a run's default settings: protocol, method, model, task.

    Attributes:
        benchmark: name of the benchmark.
        protocol: name of the protocol.
        method: name of the method.
        model: the backbone's name.
        tuned: whether ``protocol.tune`` was on.
        search: how it chose then, as ``protocol.search``.
        untrained: what it is that trained nothing, see :attr:`Record.untrained`; else empty.
        variant: name of a yaml that sets options of the method; empty for the method's own.
    """

    benchmark: str
    protocol: str
    method: str
    model: str
    tuned: bool
    search: str = _GRID
    untrained: str = ""
    variant: str = ""

    @classmethod
    def of(cls, record: Record) -> Origin:
        """Return the origin of ``record``."""
        return cls(
            record.benchmark,
            record.protocol,
            str(record.method.get("name")),
            record.model,
            bool(record.settings.get("protocol.tune")),
            str(record.settings.get("protocol.search", _GRID)),
            record.untrained,
        )


#: the settings of a run without overrides, with the roles of splits, by where it comes from
Defaults = Mapping[Origin, Mapping[str, Any]]


def marks(record: Record, defaults: Defaults) -> tuple[str, ...]:
    """Return the marks that the label of a row of ``record`` must carry.

    Returns:
        ``tuned`` where it was (``tuned by optuna`` if not by grid) and its protocol does not say
        so, ``not tuned`` where that does, but of what is untrained, ``init_from=`` the task of the
        adapter that was started from, then ``key=value`` for each setting that is not as by
        default, after ``method=`` a variant where that leaves fewer. A setting that the record
        lacks had the value of before there was an option.
    """
    origin = Origin.of(record)
    said = _how_tuned(origin)
    if record.init_from and "init_from" not in record.settings:  # which says that of all tasks
        said += (f"init_from={as_text(str(record.init_from.get('task')))}",)
    if origin not in defaults:
        return (*said, UNCHECKED)
    own = by_role(record.settings, record.role)
    variants = sorted(o.variant for o in defaults if dataclasses.replace(o, variant="") == origin)
    found = [_differing(own, defaults[dataclasses.replace(origin, variant=p)], p) for p in variants]
    return (*said, *min(found, key=len))


def variant_marks(name: str) -> frozenset[str]:
    """Return the marks that a run of the yaml ``name`` of a method may have by it alone: the
    variant's name, or its settings where they are as few."""
    own = {k: v for k, v in option("method", name).items() if k not in _NO_SETTINGS}
    said = (f"method.{key}={as_text(value)}" for key, value in own.items())
    return frozenset((f"method={name}", *said))


def usual_search(benchmark: str, protocol: str) -> str | None:
    """Return the ``protocol.search`` by which runs of ``protocol`` on ``benchmark`` are tuned by
    default; None where they are not."""
    laid_over = option("benchmark_protocol", f"{benchmark}_{protocol}").get("protocol")
    said = laid_over if isinstance(laid_over, Mapping) else {}
    return str(said.get("search", _GRID)) if said.get("tune") else None


def _how_tuned(origin: Origin) -> tuple[str, ...]:
    """Return how the run was tuned, where its protocol is not tuned so on that benchmark."""
    usual = usual_search(origin.benchmark, origin.protocol)
    if usual == (origin.search if origin.tuned else None) or origin.untrained:
        return ()
    if not origin.tuned:
        return (NOT_TUNED,)
    return (TUNED if origin.search == _GRID else f"{TUNED} by {origin.search}",)


def _differing(
    own: Mapping[str, Any], defaults: Mapping[str, Any], variant: str
) -> tuple[str, ...]:
    """Return ``key=value`` of each setting that is not one of ``defaults``, the variant's name
    first."""
    own = {**unsaid(own, defaults), **filled(own)}
    chosen = {key: own[key] for key in _CHOICES if key in own}
    left_out = {k: v for k, v in filled({**chosen, **defaults}).items() if k not in chosen}
    usual = {**left_out, **defaults, _AUGMENT: "none", _OPTIONS: _usual_options(own)}
    if own.get(_ARCHITECTURE) in FAMILIES and usual.get(_ARCHITECTURE) not in FAMILIES:
        usual |= _of_folder(own)
    for group in _OWN_DEFAULTS:
        usual |= _of_option(group, own, usual)
    usual |= {key: _unsearched(key, own) for key in own if usual.get(key) == TUNED != own[key]}
    changed: dict[str, Any] = {}
    for key in sorted(own.keys() - _SHOWN):
        if own[key] == TUNED and not own.get("protocol.tune"):
            continue  # what a method chose itself, which the option says that asked for it
        if (key, own[key]) == _OF_TASK:
            continue
        if own[key] == TUNED:
            changed |= {} if usual.get(key) == TUNED else {key: TUNED}
            continue
        changed |= _changed(_flat(key, own[key]), _flat(key, usual.get(key, {})))
    typed = {_typed_key(key): value for key, value in changed.items()}
    for key in [key for key, value in typed.items() if value == TUNED]:
        if f"{_IN_GRID}{key}" in typed:  # which says so
            del typed[key]
    said = (f"method={variant}",) if variant else ()
    return (*said, *(f"{key}={as_text(value)}" for key, value in typed.items()))


def _of_option(group: str, own: Mapping[str, Any], usual: Mapping[str, Any]) -> dict[str, Any]:
    """Return the defaults of what ``own`` has chosen of ``group``, where it is not the usual
    choice: its yaml says them, so a label does not."""
    name = own.get(f"{group}.name")
    if not isinstance(name, str) or name == usual.get(f"{group}.name"):
        return {}
    said = {f"{group}.{key}": value for key, value in whole_option(group, name).items()}
    recipe = {k: "recipe" for k, v in said.items() if isinstance(v, str) and _RECIPE in v}
    plain = {k: v for k, v in said.items() if not str(v).startswith(("${", "???")) and k in own}
    passed = (f"{group}.name", f"{group}.defaults")
    return {key: value for key, value in {**plain, **recipe}.items() if key not in passed}


def _unsearched(key: str, own: Mapping[str, Any]) -> Any:
    """Return the default of a setting that a search chooses by default, where its grid left it
    out; ``recipe`` for what comes from the task's."""
    group, _, name = key.partition(".")
    value = whole_option(group, str(own.get(f"{group}.name"))).get(name, TUNED)
    return "recipe" if isinstance(value, str) and _RECIPE in value else value


def _usual_options(own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the defaults of the options that settings have of their augmentation; none of one that
    today's code has not."""
    try:
        usual = dataclasses.asdict(augmentation_class(own.get(_AUGMENT, "none"))())
    except UserError:
        return {}
    options = own.get(_OPTIONS)
    known = options if isinstance(options, Mapping) else {}
    return {key: value for key, value in usual.items() if key in known}


def _of_folder(own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the defaults of a text encoder out of a folder of the user's, which says its shape."""
    given = own.get("model.arguments")
    shape = {k: v for k, v in given.items() if k in SHAPE} if isinstance(given, Mapping) else {}
    head = {f"head.{key}": value for key, value in RobertaHead().identity().items()}
    return {_ARCHITECTURE: own[_ARCHITECTURE], "model.arguments": shape, **head}


def _typed_key(key: str) -> str:
    """Return ``key`` of settings as one types it: ``protocol.grid.optimizer.lr``."""
    if not key.startswith(_IN_GRID):
        return key
    (full,) = dotted({key.removeprefix(_IN_GRID): None})
    return f"{_IN_GRID}{full}"


def by_role(settings: Mapping[str, Any], role: Callable[[str], str]) -> dict[str, Any]:
    """Return ``settings`` with the roles of the protocol's splits, which each task names itself.

    Args:
        role: gives the role of a split, see :meth:`hydra_peft.runs.record.Record.role`.
    """
    splits = ("train_split", "evaluate_split", "select_split")
    return {
        key: role(str(value)) if key.removeprefix("protocol.") in splits else value
        for key, value in settings.items()
    }


def _changed(values: dict[str, Any], usual: dict[str, Any]) -> dict[str, Any]:
    keys = [*values, *(key for key in usual if key not in values)]
    return {key: values.get(key) for key in keys if values.get(key) != usual.get(key)}


def _flat(key: str, value: Any) -> dict[str, Any]:
    """Return ``value`` by full key: a group of settings gives one entry for each of them."""
    if not isinstance(value, Mapping):
        return {key: value}
    entries: dict[str, Any] = {}
    for name, inner in value.items():
        entries |= _flat(f"{key}.{name}", inner)
    return entries


def as_text(value: Any) -> str:
    """Return ``value`` as one types it: ``null``, ``true``, ``[attn.proj,mlp.fc2]``."""
    if isinstance(value, str):
        return shortened(value, _LONGEST)
    return shortened(json.dumps(value, separators=(",", ":")).replace('"', ""), _LONGEST)
