"""Hydra's compositions kept for the tests of one process: hundreds of them compose.

What is kept is what depends on yaml files and chosen options alone; overrides of values are applied
anew each time. The workers of one call of pytest find what another has composed.
"""

from __future__ import annotations

import copy
import hashlib
import os
import pickle  # of what these processes made: five times as quick as deepcopy
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

from hydra._internal import config_loader_impl
from hydra._internal.config_repository import CachingConfigRepository
from hydra._internal.defaults_list import DefaultsList, Overrides
from hydra.core.config_store import ConfigNode, ConfigStore
from hydra.core.default_element import ResultDefault
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from isolation import PLACE
from omegaconf import DictConfig, OmegaConf

from hydra_peft.cli import composing
from hydra_peft.cli.parsed_once import parse_once

Loader = config_loader_impl.ConfigLoaderImpl


def remember() -> None:
    """Let Hydra parse each word and compose each choice of options once, and copy these quickly."""
    parse_once()
    _words()
    _defaults_lists()
    _options()
    _copies()


class _Kept:
    """Copies of values by key, in this process and in a folder of all workers."""

    def __init__(self) -> None:
        self._packed: dict[str, bytes] = {}

    def get(self, key: object, make: Callable[[], Any]) -> Any:
        """Return a copy of the value of ``key``, whose ``repr`` tells it from all others."""
        name = hashlib.sha256(repr(key).encode()).hexdigest()
        if name not in self._packed:
            self._packed[name] = _shared(name, make)
        return pickle.loads(self._packed[name])


def _shared(name: str, make: Callable[[], Any]) -> bytes:
    folder = Path(os.environ[PLACE], "composed")
    try:
        return (folder / name).read_bytes()
    except FileNotFoundError:
        packed = pickle.dumps(make())
    folder.mkdir(exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
        file.write(packed)
    os.replace(file.name, folder / name)
    return packed


def _words() -> None:
    parse = OverridesParser.parse_rule
    parsed: dict[tuple[str, str], Override] = {}

    def parse_once(self: OverridesParser, s: str, rule_name: str) -> Any:
        if rule_name != "override" or "(" in s:  # functions may draw or sort
            return parse(self, s, rule_name)
        if (s, rule_name) not in parsed:
            parsed[s, rule_name] = parse(self, s, rule_name)
        return copy.copy(parsed[s, rule_name])

    OverridesParser.parse_rule = parse_once  # type: ignore[method-assign]


def _defaults_lists() -> None:
    create = config_loader_impl.create_defaults_list
    created = _Kept()

    def create_once(
        repo: CachingConfigRepository,
        config_name: str | None,
        overrides_list: list[Override],
        prepend_hydra: bool,
        skip_missing: bool,
    ) -> DefaultsList:
        fresh = Overrides(repo=repo, overrides_list=overrides_list)
        values = {id(override) for override in fresh.config_overrides}
        options = tuple(o.input_line for o in overrides_list if id(o) not in values)
        key = (_fingerprint(repo), config_name, options, prepend_hydra, skip_missing)
        known: DefaultsList = created.get(
            key, lambda: create(repo, config_name, overrides_list, prepend_hydra, skip_missing)
        )
        fresh.known_choices = dict(known.overrides.known_choices)
        return DefaultsList(
            defaults=known.defaults,
            defaults_tree=known.defaults_tree,
            config_overrides=fresh.config_overrides,
            overrides=fresh,
        )

    config_loader_impl.create_defaults_list = create_once


def _options() -> None:
    compose: Callable[..., DictConfig] = Loader._compose_config_from_defaults_list
    composed = _Kept()

    def compose_once(
        self: Any, defaults: list[ResultDefault], repo: CachingConfigRepository
    ) -> DictConfig:
        key = (_fingerprint(repo), repr(defaults))
        return cast(DictConfig, composed.get(key, lambda: compose(self, defaults, repo)))

    Loader._compose_config_from_defaults_list = compose_once  # type: ignore[assignment]


def _copies() -> None:
    def copied(self: composing._Options) -> DictConfig:
        if "packed" not in vars(self):
            vars(self)["packed"] = pickle.dumps(self.config)
        return cast(DictConfig, pickle.loads(vars(self)["packed"]))

    composing._Options.copied = copied  # type: ignore[method-assign]


def _fingerprint(repo: CachingConfigRepository) -> object:
    """Return what changes with any config that ``repo`` can load."""
    return tuple(
        (source.scheme(), source.provider, source.path)
        + (tuple(_files(source.path)) if source.scheme() == "file" else ())
        + (tuple(_nodes(ConfigStore.instance().repo)) if source.scheme() == "structured" else ())
        for source in repo.get_sources()
    )


def _files(folder: str) -> Iterator[object]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        if entry.is_dir():
            yield from _files(entry.path)
        else:
            yield (entry.path, *_version(entry.stat()))


def _version(told: os.stat_result) -> tuple[int, ...]:
    return told.st_mtime_ns, told.st_size, told.st_ino


def _nodes(group: dict[str, Any]) -> Iterator[object]:
    for name, node in group.items():
        yield from _nodes(node) if isinstance(node, dict) else [(name, _content(node))]


def _content(stored: ConfigNode) -> str:
    if id(stored) not in _contents:
        # repr tells 1 from 1.0 and true
        said = (OmegaConf.get_type(stored.node), stored.package, stored.provider)
        content = OmegaConf.to_container(stored.node, resolve=False)
        _contents[id(stored)] = stored, repr((said, content))
    return _contents[id(stored)][1]


#: with what is stored, so that none of another takes its id
_contents: dict[int, tuple[ConfigNode, str]] = {}
