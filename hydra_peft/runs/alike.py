"""How like another run one is that starts from its adapter: whether the adapter fits, and in which
settings the two differ."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hydra_peft.adapters.initializers import PISSA
from hydra_peft.config.grid import used
from hydra_peft.config.identity import TUNED, science
from hydra_peft.config.schema import RunConfig
from hydra_peft.errors import UserError
from hydra_peft.plain_text import in_one_line
from hydra_peft.runs.record import Record

#: options that neither shape an adapter nor are part of it: a run chooses them anew
_FREE = ("dropout", "init", "scale")
#: what of ``model`` says which layers there are and which weights are in them
_BACKBONE = ("architecture", "arguments", "pretrained")


@dataclass(frozen=True)
class Origin:
    """What is known of a run that another may start from, done or still to be done.

    Attributes:
        method: the method's identity.
        label: the method's.
        model: name of the backbone.
        settings: as its record has them.
        science: the same.
        started: whether it starts from another run itself.
    """

    method: Mapping[str, Any]
    label: str
    model: str
    settings: Mapping[str, Any]
    science: Mapping[str, Any]
    started: bool

    @classmethod
    def of_record(cls, record: Record) -> Origin:
        """Return what a record says."""
        return cls(
            record.method,
            record.method_label,
            record.model,
            record.settings,
            record.science,
            bool(record.init_from),
        )

    @classmethod
    def of_config(cls, config: RunConfig) -> Origin:
        """Return what the record of a run will say."""
        return cls(
            _as_recorded(config.method.identity()),
            config.method.label,
            config.model.name,
            _as_recorded(config.settings),
            _as_recorded(science(config)),
            config.init_from is not None,
        )


def check_fits(config: RunConfig, origin: Origin) -> None:
    """Check that the adapter of a run has the backbone, method and shapes of another one's.

    Raises:
        UserError: it has not.
    """
    own = Origin.of_config(config)
    ours, theirs = own.science["model"], origin.science.get("model")
    for key in _BACKBONE:
        if isinstance(theirs, Mapping) and theirs.get(key, ours.get(key)) != ours.get(key):
            raise UserError(
                f"that adapter was trained on {origin.model} (model.{key}="
                f"{_shown(theirs.get(key))}), and this run is on {own.model} "
                f"({_shown(ours.get(key))}): start from a run on the same backbone."
            )
    keys = {*own.method, *origin.method} - {"name", *_FREE}
    if PISSA in (own.method.get("init"), origin.method.get("init")):  # has tensors of its own
        keys.add("init")
    for key in ("name", *sorted(keys)):
        if own.method.get(key) != origin.method.get(key):
            raise UserError(
                f"that adapter is of {origin.label} with method.{key}="
                f"{_shown(origin.method.get(key))}, and this run has "
                f"{_shown(own.method.get(key))}: set method.{key}, or start from another run."
            )


def check_one_shape(config: RunConfig) -> None:
    """Check that what tuning may give a method leaves its adapter the shape that it starts with.

    Raises:
        UserError: it has adapters of several shapes to choose from.
    """
    for key, values in used(config).items() if config.protocol.tune else ():
        group, _, name = key.partition(".")
        if group != "method":
            continue
        methods = (dataclasses.replace(config.method, **{name: value}) for value in values)
        shapes = [_without(_FREE, method.identity()) for method in methods]
        if any(shape != shapes[0] for shape in shapes):
            raise UserError(
                f"protocol.grid.{key} has adapters of several shapes, and the one that init_from "
                f"names has one: set protocol.grid.{key}=null, and method.{name} to its own."
            )


def _without(names: tuple[str, ...], identity: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in identity.items() if key not in names}


def differing(config: RunConfig, origin: Origin) -> list[str]:
    """Return the settings, by dotted key, that two runs have otherwise; their starts aside.

    A recipe's values are alike, though tasks have other ones, and so is a recipe's and the same
    value that was typed.
    """
    own = Origin.of_config(config)
    return [
        key
        for key in sorted({*own.settings, *origin.settings})
        if not key.startswith("init_from")
        and own.settings.get(key) != origin.settings.get(key)
        and _value(own.science, key, own) != _value(origin.science, key, origin)
    ]


def distance(config: RunConfig, origin: Origin) -> int:
    """Return in how many settings two runs differ; a start of the other's own is one more."""
    return len(differing(config, origin)) + origin.started


def differing_in_words(config: RunConfig, origin: Origin) -> str:
    """Return the settings of ``origin`` that differ, ``optimizer.lr=0.02 (here 0.01)``, but what
    tuning chose."""
    own = Origin.of_config(config)
    said = []
    for key in differing(config, origin):
        pair = [_value(one.science, key, one.settings.get(key)) for one in (origin, own)]
        if TUNED not in pair:
            said.append(f"{key}={_shown(pair[0])} (here {_shown(pair[1])})")
    return ", ".join(said)


def _value(groups: Mapping[str, Any], key: str, otherwise: Any) -> Any:
    """Return the value of the dotted ``key``, or ``otherwise``."""
    group, _, name = key.partition(".")
    values = groups.get(group)
    return values[name] if isinstance(values, Mapping) and name in values else otherwise


def _as_recorded(values: Mapping[str, Any]) -> dict[str, Any]:
    return dict(json.loads(json.dumps(values)))


def _shown(value: Any) -> str:
    """Return ``value`` as one types it: ``true``, ``[attn.proj,mlp.fc2]``."""
    return in_one_line(json.dumps(value, separators=(",", ":")).replace('"', ""))
