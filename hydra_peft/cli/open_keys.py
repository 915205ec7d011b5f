"""Keys of the command line that no yaml lists, which Hydra sets as they are typed.

These are the keys of ``protocol.grid``, the options of an augmentation and of a method's branches,
other names of splits, and a model's arguments.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Collection

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, OmegaConf, open_dict

from hydra_peft.cli.word_keys import GRID, full_key, is_within, keys_of

_OPTIONS = (
    *("data.augment_options", "method.parallel_options", "method.sequential_options"),
    *("dataset.split_names", GRID),
)
_ARGUMENTS = "model.arguments"


def is_open(key: str) -> bool:
    """Whether ``key`` is a mapping of such keys, or one of them."""
    return is_within(key, (*_OPTIONS, _ARGUMENTS))


@functools.cache
def set_open_keys() -> None:
    """Let Hydra do what overrides of such keys say, in the words in which they are typed.

    ``protocol.grid={...}`` replaces the whole grid, which Hydra would merge with the protocol's;
    ``protocol.grid.<key>=[...]`` sets a key, with or without a plus, whether or not the protocol
    has it, however it is written there, and under the names ``lr``, ``scale`` and ``dropout`` of
    older commands too; ``~protocol.grid.<key>`` takes it away under any of these names.
    ``data.augment_options.<key>=...`` and ``data.augment_options={...}`` set options with or
    without a plus, and so do those of ``method.parallel_options``, ``method.sequential_options``
    and ``dataset.split_names``; those of ``model.arguments`` need none. Any key that an earlier
    word took away may be set again.
    """
    apply = ConfigLoaderImpl._apply_overrides_to_config

    def applied(overrides: list[Override], cfg: DictConfig) -> None:
        gone: list[str] = []
        for override in overrides:
            if override.key_or_group == GRID and not override.is_delete():
                OmegaConf.update(cfg, GRID, {}, merge=False, force_add=True)
            taken = _taken_out_of_grid(override, cfg)
            if not (override.is_delete() and taken):
                apply([_with_plus(override, gone)], cfg)
            if override.is_delete():
                gone.append(override.key_or_group)

    ConfigLoaderImpl._apply_overrides_to_config = staticmethod(applied)  # type: ignore[method-assign]


def _taken_out_of_grid(override: Override, cfg: DictConfig) -> bool:
    """Take the keys that ``override`` is about out of the grid, where they may be written with dots
    or in groups; return whether any was there."""
    is_value_asked = override.is_delete() and override.value() is not None
    if is_value_asked or not override.key_or_group.startswith(f"{GRID}."):
        return False
    protocol = OmegaConf.select(cfg, GRID.partition(".")[0])
    if not isinstance(protocol, DictConfig) or "grid" not in protocol.keys():  # noqa: SIM118
        return False
    with open_dict(cfg):
        return _taken_out(protocol._get_node("grid"), GRID, keys_of(override))


def _taken_out(node: object, place: str, keys: Collection[str]) -> bool:
    # Nothing is looked for behind an interpolation: it is some other group's.
    if not isinstance(node, DictConfig) or not isinstance(node._content, dict):
        return False
    found = False
    for name in list(map(str, node._content)):
        key = full_key(f"{place}.{name}")
        if is_within(key, keys):
            del node[name]
            found = True
        else:
            found |= _taken_out(node._get_node(name), key, keys)
    return found


def _with_plus(override: Override, gone: Collection[str]) -> Override:
    """Return ``override`` with the plus that Hydra needs where no yaml lists its key, or an earlier
    word took away one of ``gone``."""
    key = override.key_or_group
    if override.is_delete():
        full = key if override.value() is None else full_key(key)
        return dataclasses.replace(override, key_or_group=full)
    # One plus asks whether an argument is there already.
    is_change = override.type == OverrideType.CHANGE
    names = (*_OPTIONS, _ARGUMENTS) if is_change else _OPTIONS
    if is_within(key, names) or (is_change and is_within(key, gone)):
        full = full_key(key)
        return dataclasses.replace(override, type=OverrideType.FORCE_ADD, key_or_group=full)
    return override
