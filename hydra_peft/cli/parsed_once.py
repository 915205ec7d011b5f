"""Yaml files and interpolations that are parsed once a process, however many configs have them.

Hydra composes each job of a sweep and each default of a table of the same two dozen files, and
parsing them anew is half of the time it takes. Another tenth is a config of all choices that it
makes for every file, where few have an interpolation to resolve in it.
"""

from __future__ import annotations

import copy
import functools
from pathlib import Path

import omegaconf
from hydra._internal import defaults_list as tree
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.default_element import InputDefault
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult, ConfigSource
from omegaconf import DictConfig, grammar_parser

from hydra_peft.cli.config_files import check_config_file
from hydra_peft.errors import UserError, reason_of
from hydra_peft.files import text_of

#: interpolations that are kept; the yaml files of a config have some fifty
KEPT = 4096


@functools.cache
def parse_once() -> None:
    """Let Hydra parse a yaml file again only once it changed, OmegaConf no interpolation twice."""
    _files_once()
    _choices_where_needed()
    parse = functools.lru_cache(KEPT)(grammar_parser.parse)
    # They have taken the name into their own.
    for module in (omegaconf.base, omegaconf._utils):
        module.parse = parse  # type: ignore[attr-defined]


def _files_once() -> None:
    Plugins.instance()  # which makes the sources known
    source = SourcesRegistry.instance().resolve("file")
    load = source.load_config
    parsed: dict[tuple[object, ...], ConfigResult] = {}

    def load_once(self: ConfigSource, config_path: str) -> ConfigResult:
        file = Path(self.path, self._normalize_file_name(config_path))
        try:
            told = file.stat()
        except OSError:
            return load(self, config_path)  # which says what is wrong
        stamp = (told.st_mtime_ns, told.st_size, told.st_ino)
        key = (self.path, self.provider, config_path, *stamp)
        if key not in parsed:
            text_of(file)  # says which file it is that is no text
            try:
                found = load(self, config_path)
            except (OSError, ValueError) as error:  # nothing but a number; one of 5000 digits
                raise UserError(f"{file} is no config: {reason_of(error)}.") from None
            check_config_file(file, config_path, found)
            parsed[key] = found
        return copy.deepcopy(parsed[key])

    source.load_config = load_once  # type: ignore[method-assign]


def _choices_where_needed() -> None:
    create = tree._create_interpolation_map

    def where_needed(
        overrides: tree.Overrides, defaults_list: list[InputDefault], self_added: bool
    ) -> DictConfig:
        if any(default.is_interpolation() for default in defaults_list):
            return create(overrides, defaults_list, self_added)
        return DictConfig({})

    tree._create_interpolation_map = where_needed
