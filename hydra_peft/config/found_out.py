"""Values that a config leaves null and that its data set or its checkpoint's folder decides."""

from __future__ import annotations

import copy
import dataclasses
import functools
from typing import Any

from omegaconf import DictConfig, OmegaConf

from hydra_peft.backbones.transformers_folder import describe_folder
from hydra_peft.config.composed_values import section_of, value_of, written_group
from hydra_peft.config.resolved import Resolved
from hydra_peft.config.typed import typed
from hydra_peft.data.few_shots import FIT, VAL
from hydra_peft.data.sources import describe, options_class
from hydra_peft.errors import UserError
from hydra_peft.plain_text import quoted

#: keys of ``dataset`` that a source with keys of its own finds out
_FOUND_OUT = ("name", "classes", "splits", "sizes")


def found_out(config: DictConfig, resolved: Resolved) -> DictConfig:
    """Return ``config`` with a value for each key that it leaves null and that can be found out.

    Args:
        config: composed, without Hydra's node.
        resolved: of the sweep, which looks at each data set once.

    Raises:
        UserError: data or folder are missing, or not as they should be.
    """
    return _described_model(_sampled(_described(config, resolved)))


def _described(config: DictConfig, resolved: Resolved) -> DictConfig:
    """Return ``config`` with what its data set's source finds out, where it has null.

    A run's record has these values, so that it can be rebuilt without looking.

    Raises:
        UserError: the data is missing, or not as its source needs it.
    """
    dataset = written_group(config, "dataset")
    if dataset is None:
        return config
    cls = options_class(dataset.get("source"))
    if cls is None or all(dataset.get(key) is not None for key in _FOUND_OUT):
        return config
    section, source = section_of(config, "dataset"), dataset["source"]
    own = {f.name: value_of(section, f.name) for f in dataclasses.fields(cls) if f.name in dataset}
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
    written = written_group(config, "model")
    if written is None or written.get("architecture", "") is not None:
        return config
    section = section_of(config, "model")
    place = value_of(section, "checkpoint", "model")
    if place is None:
        raise UserError(
            "model.architecture=null takes a text encoder's shape from its folder: set "
            "model.checkpoint=<folder with config.json, model.safetensors and tokenizer.json>."
        )
    found = describe_folder(str(place))
    given = value_of(section, "arguments", "model") or {}
    if not isinstance(given, dict):
        raise UserError(
            f"model.arguments={quoted(given)} is not allowed: it must be a mapping, such as "
            "{pooling: mean}."
        )
    found["arguments"] |= given
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
    given = {key: value_of(dataset, key) for key in ("shots", "sampling_seed") if key in dataset}
    if not given.get("shots") or given.get("sampling_seed") is None:
        return config
    config = copy.deepcopy(config)
    for role, name in (("fit", FIT), ("val", VAL)):
        OmegaConf.update(config, f"dataset.splits.{role}", name, force_add=True)
    return config
