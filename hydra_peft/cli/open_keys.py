"""Keys of the command line that no yaml lists, which Hydra sets as they are typed.

These are the keys of ``protocol.grid``, the options of an augmentation and of a method's branches,
other names of splits, and a model's arguments.
"""

from __future__ import annotations

import dataclasses
import functools

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, OmegaConf

from hydra_peft.config.grid import dotted

GRID = "protocol.grid"
_OPTIONS = (
    *("data.augment_options", "method.parallel_options", "method.sequential_options"),
    *("dataset.split_names", GRID),
)
_ARGUMENTS = "model.arguments"


@functools.cache
def set_open_keys() -> None:
    """Let Hydra do what overrides of such keys say, in the words in which they are typed.

    ``protocol.grid={...}`` replaces the whole grid, which Hydra would merge with the protocol's;
    ``protocol.grid.<key>=[...]`` sets a key, with or without a plus, whether or not the protocol
    has it, and under the names ``lr``, ``scale`` and ``dropout`` of older commands too.
    ``data.augment_options.<key>=...`` and ``data.augment_options={...}`` set options with or
    without a plus, and so do those of ``method.parallel_options``, ``method.sequential_options``
    and ``dataset.split_names``; those of ``model.arguments`` need none.
    """
    apply = ConfigLoaderImpl._apply_overrides_to_config

    def applied(overrides: list[Override], cfg: DictConfig) -> None:
        for override in overrides:
            if override.key_or_group == GRID and not override.is_delete():
                OmegaConf.update(cfg, GRID, {}, merge=False, force_add=True)
            apply([_with_plus(override)], cfg)

    ConfigLoaderImpl._apply_overrides_to_config = staticmethod(applied)  # type: ignore[method-assign]


def full_key(key: str) -> str:
    """Return ``key``, one of a grid's by its full name."""
    if not key.startswith(f"{GRID}."):
        return key
    (full,) = dotted({key.removeprefix(f"{GRID}."): None})
    return f"{GRID}.{full}"


def _with_plus(override: Override) -> Override:
    """Return ``override`` with the plus that Hydra needs where no yaml lists its key."""
    key = f"{override.key_or_group}."
    # One plus asks whether an argument is there already.
    names = (*_OPTIONS, _ARGUMENTS) if override.type == OverrideType.CHANGE else _OPTIONS
    if override.is_delete() or not key.startswith(tuple(f"{name}." for name in names)):
        return override
    full = full_key(override.key_or_group)
    return dataclasses.replace(override, type=OverrideType.FORCE_ADD, key_or_group=full)
