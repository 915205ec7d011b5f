"""Plain values of a composed config, interpolations resolved: of a group, of one key."""

from __future__ import annotations

from typing import Any, cast

from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hydra_peft.config.omegaconf_errors import as_sentence
from hydra_peft.errors import UserError
from hydra_peft.plain_text import quoted


def section_of(config: DictConfig, key: str) -> DictConfig:
    """Return the group ``key``, which may point to another.

    Raises:
        UserError: it is no group.
    """
    node = OmegaConf.select(config, key)
    if not isinstance(node, DictConfig):
        raise UserError(f"'{key}' is a group of settings, not the single value {quoted(node)}.")
    return node


def written_group(config: DictConfig, key: str) -> dict[str, Any] | None:
    """Return the values of the group ``key``, none resolved; None where it is no group itself."""
    node = config._get_node(key)
    plain = OmegaConf.to_container(node, resolve=False) if isinstance(node, DictConfig) else None
    return cast(dict[str, Any], plain) if isinstance(plain, dict) else None


def resolved_section(node: DictConfig, key: str) -> dict[str, Any]:
    """Return all values of the group ``key``.

    Raises:
        UserError: one is missing, or points to something that is not there.
    """
    try:
        plain = OmegaConf.to_container(node, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise UserError(as_sentence(error, key)) from None
    return cast(dict[str, Any], plain)


def value_of(section: DictConfig, key: str, group: str = "dataset") -> Any:
    """Return the value of a key of ``group``, which may point elsewhere.

    Raises:
        UserError: it points to something that is not there.
    """
    try:
        value = section[key]
        return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
    except OmegaConfBaseException as error:
        raise UserError(as_sentence(error, f"{group}.{key}")) from None


def single_value(config: DictConfig, key: str) -> Any:
    """Return the value of the top-level ``key``; :data:`MISSING` where it leads to none."""
    return OmegaConf.select(config, key) if key in config else MISSING


def is_plain(text: str) -> bool:
    """Whether nothing in ``text`` stands for something else: no interpolation, none missing."""
    return "${" not in text and "???" not in text
