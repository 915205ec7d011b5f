"""Yaml files that Hydra would take wrongly, or refuse in words that do not name them."""

from __future__ import annotations

import os.path
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig, ListConfig, OmegaConf

from hydra_peft.checkout import CONF
from hydra_peft.cli.overrides import SEVERAL
from hydra_peft.errors import UserError
from hydra_peft.plain_text import quoted

_PRESETS = "experiment/"
#: first line of a preset: its keys are those of the config, not of a group called experiment
_HEADER = "# @package _global_"


def check_config_file(file: Path, config_path: str, found: ConfigResult) -> None:
    """Check what a yaml file holds beside the values, which the whole config is checked for.

    Args:
        file: where it lies.
        config_path: its group and name, such as ``experiment/demo``.
        found: what Hydra read.

    Raises:
        UserError: a list, a preset that is none, or a defaults list that names no option of a
            group.
    """
    if config_path.startswith(_PRESETS) and found.header.get("package") != "_global_":
        what = "does not begin with" if found.config else "is empty: a preset begins with"
        raise UserError(
            f"{file} {what} the line '{_HEADER}', below which stand keys of the config, such as "
            "seed: 1."
        )
    if isinstance(found.config, ListConfig):
        raise UserError(f"{file} is a list where a mapping of keys to values is meant.")
    if not isinstance(found.config, DictConfig):
        return
    if found.header.get("package") == "_global_":
        _check_sections(file, cast(dict[str, object], OmegaConf.to_container(found.config)))
    defaults = found.config._get_node("defaults")
    if defaults is None:
        return
    if not isinstance(defaults, ListConfig):
        raise UserError(
            f"{file}: defaults must be a list of items like '- override /head: linear'."
        )
    for item, group, value in _items(defaults):
        reason = _wrong(group, value, at_root="/" not in config_path)
        if reason is not None:
            raise UserError(f"{file}: defaults has {quoted(item)}: {reason}.")


def _check_sections(file: Path, values: dict[str, object]) -> None:
    """Check that no section of Hydra's own is a title alone, which takes away all of it."""
    hydra = values.get("hydra", {})
    sections = {"hydra": hydra}
    if isinstance(hydra, dict):
        sections |= {f"hydra.{key}": hydra[key] for key in ("sweeper", "launcher") if key in hydra}
    for key, value in sections.items():
        if value is None:
            raise UserError(f"{file}: {key} has nothing below it: leave that line out too.")


def _items(defaults: ListConfig) -> Iterator[tuple[object, str, object]]:
    """Yield of each default: itself, what it is to choose of, without a package, and the choice."""
    for item in cast(list[object], OmegaConf.to_container(defaults, resolve=False)):
        if isinstance(item, dict):
            for key, value in item.items():
                yield item, str(key).partition("@")[0], value
        else:
            yield item, "", item


def _wrong(key: str, value: object, *, at_root: bool) -> str | None:
    words = key.split()
    group = words[-1] if words else ""
    if not isinstance(value, str | list | type(None)) or (isinstance(value, list) and not group):
        return "a default is '- <file>' or '- override /<group>: <option>'"
    if isinstance(value, list) and group.strip("/") != SEVERAL:
        return f"one option is needed, not a list: '{key}: {next(iter(value), '<option>')}'"
    is_group = bool(group) and os.path.isdir(CONF / group.strip("/"))
    if "override" in words and is_group and not at_root and not group.startswith("/"):
        return f"a group outside of this folder begins with a slash: 'override /{group}: {value}'"
    return None
