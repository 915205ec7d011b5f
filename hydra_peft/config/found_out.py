"""Values that a config leaves out: its data set, its checkpoint's folder or tuning decides them."""

from __future__ import annotations

import copy
import dataclasses
import functools
from typing import Any

from omegaconf import MISSING, DictConfig, OmegaConf

from hydra_peft.backbones.transformers_folder import describe_folder
from hydra_peft.config.composed_values import section_of, value_of, written_group
from hydra_peft.config.plain import CHOSEN
from hydra_peft.config.resolved import Resolved
from hydra_peft.config.tunable import flattened
from hydra_peft.config.typed import typed, typed_item
from hydra_peft.data.few_shots import FIT, VAL
from hydra_peft.data.sources import describe, options_class
from hydra_peft.errors import UserError
from hydra_peft.files import named_path, sha256_of
from hydra_peft.plain_text import quoted

#: keys of ``dataset`` that a source with keys of its own finds out
_FOUND_OUT = ("name", "classes", "splits", "sizes")


def found_out(config: DictConfig, resolved: Resolved, *, changeable: bool = False) -> DictConfig:
    """Return ``config`` with a value for each key that it leaves out and that can be found out.

    Args:
        config: composed, without Hydra's node.
        resolved: of the sweep, which looks at each data set once.
        changeable: whether ``config`` itself may be given back, changed.

    Raises:
        UserError: data or folder are missing, or not as they should be.
    """
    draft = _Draft(config, changeable)
    _describe_data(draft, resolved)
    _sample(draft)
    _describe_model(draft)
    _hash_texts(draft, resolved)
    _fill_tuned(draft)
    return draft.config


class _Draft:
    """A config that is copied before its first change, unless it may be changed itself."""

    def __init__(self, config: DictConfig, changeable: bool) -> None:
        self.config = config
        self._own = changeable

    def set(self, key: str, value: Any) -> None:
        """Give the dotted ``key`` a value."""
        if not self._own:
            self.config, self._own = copy.deepcopy(self.config), True
        OmegaConf.update(self.config, key, value, force_add=True)


def _describe_data(draft: _Draft, resolved: Resolved) -> None:
    """Set what the data set's source finds out, where the config has null.

    A run's record has these values, so that it can be rebuilt without looking.

    Raises:
        UserError: the data is missing, or not as its source needs it.
    """
    dataset = written_group(draft.config, "dataset")
    if dataset is None:
        return
    cls = options_class(dataset.get("source"))
    if cls is None or all(dataset.get(key) is not None for key in _FOUND_OUT):
        return
    section, source = section_of(draft.config, "dataset"), dataset["source"]
    own = {f.name: value_of(section, f.name) for f in dataclasses.fields(cls) if f.name in dataset}
    options: Any = typed(cls, own, "dataset")
    found = resolved.once(repr((source, options)), functools.partial(describe, source, options))
    for key, value in found.items():
        if key in own or dataset.get(key) is None:
            draft.set(f"dataset.{key}", value)


def _describe_model(draft: _Draft) -> None:
    """Set what the folder in ``model.checkpoint`` says, where the config has null.

    Arguments that are given beside are kept.

    Raises:
        UserError: it is no folder in Hugging Face form.
    """
    written = written_group(draft.config, "model")
    if written is None or written.get("architecture", "") is not None:
        return
    section = section_of(draft.config, "model")
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
    for key, value in found.items():
        if written.get(key) is None or key == "arguments":
            draft.set(f"model.{key}", value)


def _hash_texts(draft: _Draft, resolved: Resolved) -> None:
    """Set the hash of the file in ``model.text_checkpoint``, where there is one.

    Raises:
        UserError: it is no path, or cannot be read.
    """
    written = written_group(draft.config, "model") or {}
    if written.get("text_checkpoint") is None or written.get("text_sha256", "") is not None:
        return  # configs of runs of earlier code have no such key, and keep their id
    place = value_of(section_of(draft.config, "model"), "text_checkpoint", "model")
    if place is None:
        return
    file = named_path(place, "model.text_checkpoint")
    if not file.is_file():
        raise UserError(f"model.text_checkpoint={file} does not exist or is not a file.")
    found = resolved.once(repr(file), lambda: {"sha256": sha256_of(file, links=True)})
    draft.set("model.text_sha256", found["sha256"])


def _fill_tuned(draft: _Draft) -> None:
    """Set options that have no value of their own and that tuning chooses, as of ``sgd`` its rate.

    Which value of ``protocol.grid`` they get decides nothing.

    Raises:
        UserError: the grid is no mapping of keys to lists, or a value there is wrong.
    """
    there = [group for group in CHOSEN if group in draft.config]
    written = {group: written_group(draft.config, group) or {} for group in there}
    missing = [
        (group, name)
        for group, options in written.items()
        for name, value in options.items()
        if value == MISSING
    ]
    if not missing or "protocol" not in draft.config:
        return
    protocol = section_of(draft.config, "protocol")
    if not protocol.get("tune"):
        return
    grid = value_of(protocol, "grid", "protocol")
    lists = flattened(grid) if isinstance(grid, dict) else {}
    for group, name in missing:
        values = lists.get(f"{group}.{name}")
        cls: Any = CHOSEN[group][0](str(written[group].get("name")))
        if not values or name not in {field.name for field in dataclasses.fields(cls)}:
            continue
        where = f"protocol.grid.{group}.{name}"
        values = [typed_item(cls, name, v, f"{where}[{i}]") for i, v in enumerate(values)]
        numbers = all(type(value) in (int, float) for value in values)
        draft.set(f"{group}.{name}", max(values) if numbers else values[0])


def _sample(draft: _Draft) -> None:
    """Set the splits that a few-shot sample consists of, where one is drawn.

    They play the roles ``fit`` and ``val`` whatever the data set has: of five shots one is held
    out, not a thousand others.
    """
    dataset = draft.config.get("dataset")
    if not isinstance(dataset, DictConfig) or not isinstance(dataset.get("splits"), DictConfig):
        return
    given = {key: value_of(dataset, key) for key in ("shots", "sampling_seed") if key in dataset}
    if not given.get("shots") or given.get("sampling_seed") is None:
        return
    for role, name in (("fit", FIT), ("val", VAL)):
        draft.set(f"dataset.splits.{role}", name)
