"""Same id if and only if same science."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from hydra_peft.config.grid import by_group, shortened_keys, used
from hydra_peft.data.split_roles import BEFORE as SPLITS_BEFORE
from hydra_peft.plugins import origin

if TYPE_CHECKING:
    from hydra_peft.config.schema import RunConfig  # who reads a hash needs none of it

#: stands for a value that tuning chooses
TUNED = "tuned"
#: keys of a group that change no result: names for people, and places on a machine
NOT_SCIENCE = {
    # A text tower is its image tower's own, whose weights are recorded, or has model.text_sha256.
    "model": (
        *("name", "checkpoint", "url", "prepare", "hub", "tokenizer"),
        *("text_tower", "text_checkpoint"),
    ),
    # Prompts count where a head starts from them.
    "dataset": ("source", "folder", "aliases", "recipe", "versions", "prompts", "source_options"),
    "data": ("cache", "allow_partial", "hub"),
    "optimizer": (),
    "scheduler": (),
    # What a protocol fills in acts through the groups that take it.
    "protocol": ("fills",),
    "train": ("compile", "cuda_graph", "profile", "checkpoint_every"),
}

#: keys that came later: an id stays what it was where they have the value that held before
USUAL: dict[str, dict[str, Any]] = {
    "dataset": {
        "kind": "classification",
        "metrics": [],
        "splits": dataclasses.asdict(SPLITS_BEFORE),
        "train_size": None,
        "shots": None,
        "sampling_seed": None,
        "crop": False,
    },
    "model": {"image_size": None, "antialias": True, "projection": None, "text_sha256": None},
    "data": {"augment": "none", "augment_options": {}, "crop": "task", "max_length": None},
    "protocol": {
        **{"select_split": None, "tune_seed": None},
        **{"trial_epochs": None, "trial_selection": "last"},
    },
    "train": {"eval_after": None, "accumulate": 1},
}
#: the same of a whole group: every run had a linear head before there were others
USUAL_HEAD = {"name": "linear"}


def science(config: RunConfig) -> dict[str, Any]:
    """Return the part of a config that decides the result of a run, besides code, data and weights.

    Paths, device, logging and what to do about existing runs are left out; the hashes of code,
    data and weights are recorded beside the id, that of the weights also in the folder's name. The
    recipe counts where a run takes values from it.
    """
    from hydra_peft.backbones.image_sizes import own_size

    groups = {group: _counted(getattr(config, group), group) for group in NOT_SCIENCE}
    if config.model.image_size == own_size(config.model.architecture):
        groups["model"].pop("image_size", None)
    if (head := config.head.identity()) != USUAL_HEAD:
        groups["head"] = head
    if config.head.starts_from != "text":
        groups["model"].pop("text_sha256", None)
    if config.init_from is not None:
        # Of that run what it is, not where it lies.
        groups["init_from"] = {k: v for k, v in vars(config.init_from).items() if k != "folder"}
    if not config.dataset.samples:
        groups["dataset"].pop("sampling_seed", None)
    if not config.dataset.draws:
        del groups["dataset"]["split_seed"]
    if (options := config.dataset.source_options) is not None:
        groups["dataset"] |= options.identity()
    groups["method"] = config.method.identity()
    if (prepared := config.method.preparation()) is not None:
        groups["method"] |= dict.fromkeys(prepared.chooses, TUNED)
    if config.protocol.tune:
        # What is asked for is the search; what it chose is part of the result.
        groups = _opened(config, groups)
        groups["protocol"]["grid"] = shortened_keys(config.protocol.grid)
    for key in _idle(config):
        groups["protocol"].pop(key, None)
    if origins := plugin_origins(config):
        groups["plugins"] = origins
    return {**groups, "seed": config.seed, "precision": config.precision}


def _counted(part: Any, group: str) -> dict[str, Any]:
    """Return the values of ``part`` that count, less those that say what held before them."""
    usual, passed = USUAL.get(group, {}), NOT_SCIENCE.get(group, ())
    own = getattr(part, "identity", None)
    values = own() if own else dataclasses.asdict(part)
    return {
        key: value
        for key, value in values.items()
        if key not in passed and not (key in usual and usual[key] == value)
    }


def _opened(config: RunConfig, groups: dict[str, Any]) -> dict[str, Any]:
    """Return the identity ``groups`` of ``config`` with :data:`TUNED` where tuning decides.

    What ``config`` itself has there does not show, so that the run of what was chosen has the
    identity of what asked for it. An option that acts through others (``rank`` through the ranks of
    both branches) marks those that its values change.
    """
    found = dict(groups)
    for group, grid in by_group(used(config)).items():
        part = getattr(config, group)
        own = _counted(part, group)
        first = dataclasses.replace(part, **{name: values[0] for name, values in grid.items()})
        made = _counted(first, group)
        others = [
            _counted(dataclasses.replace(first, **{name: value}), group)
            for name, values in grid.items()
            for value in values[1:]
        ]
        tuned = {key for other in others for key in {*made, *other} if _differs(key, made, other)}
        left_out = own.keys() - groups[group].keys()
        beside = {key: value for key, value in groups[group].items() if key not in own}
        found[group] = {
            key: TUNED if key in grid or key in tuned else made[key]
            for key in {**made, **dict.fromkeys(tuned)}
            if key not in left_out
        } | beside
    return found


def _differs(key: str, one: dict[str, Any], other: dict[str, Any]) -> bool:
    return key not in one or key not in other or one[key] != other[key]


def _idle(config: RunConfig) -> Iterator[str]:
    """Yield the keys of ``protocol`` on searches that this run does not do."""
    tune, search = config.protocol.tune, config.protocol.search
    if not tune:
        yield from ("grid", "trial_epochs", "trial_selection")
    if not config.chooses:
        yield "tune_seed"
    if not tune or search == "grid":
        yield "search"
    if not tune or search != "optuna":
        yield "trials"  # the grid itself says how many are tried


def plugin_origins(config: RunConfig) -> dict[str, dict[str, Any]]:
    """Return by group where the plugins come from that decide a run's result; empty without any.

    ``task`` and ``metric <name>`` are of its data set; all others are groups of the config.
    """
    named = [
        ("method", "hydra_peft.methods", config.method.name),
        ("head", "hydra_peft.heads", config.head.name),
        ("optimizer", "hydra_peft.optimizers", config.optimizer.name),
        ("scheduler", "hydra_peft.schedules", config.scheduler.name),
        ("model", "hydra_peft.backbones.models", config.model.architecture),
        ("data", "hydra_peft.augmentations", config.data.augment),
        ("task", "hydra_peft.tasks", config.dataset.kind),
        *((f"metric {name}", "hydra_peft.metrics", name) for name in config.dataset.metrics),
    ]
    found = {key: origin(package, name) for key, package, name in named}
    return {key: where for key, where in found.items() if where is not None}


def config_id(config: RunConfig) -> str:
    """Return the 12 hexadecimal digits that name the science of ``config``."""
    return short_hash(science(config))


def settings_id(settings: dict[str, Any]) -> str:
    """Return 12 hexadecimal digits for settings: those of one table row."""
    return short_hash(settings)


def short_hash(value: Any) -> str:
    """Return 12 hexadecimal digits of the sha256 of ``value`` as canonical json."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
