"""Keys of a run's config as types have them: what values each takes, whatever is chosen."""

from __future__ import annotations

import dataclasses
import functools
import os.path
import re
import sys
import types
import typing
from collections.abc import Iterator
from typing import Any, NamedTuple

from hydra_peft.checkout import CONF, options
from hydra_peft.cli.home import PATH_KEYS
from hydra_peft.config.omegaconf_errors import groups_with
from hydra_peft.config.plain import CHOSEN
from hydra_peft.config.plain import types as groups
from hydra_peft.config.schema import RunConfig
from hydra_peft.config.shapes import SINGLE
from hydra_peft.data import sources
from hydra_peft.data.sources import options_class
from hydra_peft.errors import near
from hydra_peft.limits import Words, words_of
from hydra_peft.registry import module_names

#: the group that adds to others and is no part of a run's config
PRESETS = "experiment"
#: the group of which several options may be chosen, each with its keys below its name
TRACKERS = "logger"
_IN_WORDS: dict[Any, str] = {**SINGLE, list: "a list", dict: "a group of settings"}
_EXAMPLES = {bool: "true", int: "1", float: "0.1", str: "<text>", list: "[a,b]", dict: "'{a: 1}'"}


class Known(NamedTuple):
    """What is known of a key.

    Attributes:
        kind: of its values: a type, ``list`` too; None where the name of an option is chosen.
        words: that a value has to be one of.
        example: of a value.
    """

    kind: Any
    words: Words | None
    example: str

    @property
    def expected(self) -> str | None:
        """What a value has to be, in words; None where it may be any text, or nothing is known."""
        if self.kind is None:
            return "the name of an option"
        if self.words is not None:
            return str(self.words)
        return None if self.kind is str else _IN_WORDS.get(self.kind)


def known_key(key: str) -> Known | None:
    """Return what is known of ``key``, which may have a plus before it; None if it is no key, or
    one of a group of settings."""
    key = key.lstrip("+")
    if key in PATH_KEYS:
        return Known(str, None, "<path>")
    group, _, name = key.partition(".")
    is_group = re.match(r"\w", key) and os.path.isdir(CONF / key)
    if group == PRESETS or (is_group and key != "hydra"):
        return Known(None, None, "<name>")
    for cls in [RunConfig] if not name else _classes(group):
        if (name or group) in (fields := {one.name: one for one in dataclasses.fields(cls)}):
            return _known(cls, fields[name or group])
    inside = known_key(key.rpartition(".")[0]) if re.fullmatch(r"\w+\.[\w.]+", name) else None
    return Known(Any, None, "...") if inside and inside.kind in (dict, Any) else None


def is_section(key: str) -> bool:
    """Whether ``key`` is a group of settings, each of which is set by itself."""
    group, _, name = key.partition(".")
    if group == TRACKERS:
        return not name or name in options(TRACKERS)
    if not name:
        return key in groups() and (
            os.path.isdir(CONF / key) or dataclasses.is_dataclass(groups()[key])
        )
    kinds = (
        _kind(cls, field)
        for cls in _classes(group)
        for field in dataclasses.fields(cls)
        if field.name == name
    )
    return any(map(dataclasses.is_dataclass, kinds))


def meant_keys(key: str) -> list[str]:
    """Return the keys that ``key`` is, or may stand for: ones near it, or whose group was left out.

    Args:
        key: which may have a plus before it, and other marks than dots in it.
    """
    key = key.lstrip("+")
    dotted = re.sub(r"[:/]", ".", key)
    if found := next((one for one in (key, dotted) if known_key(one)), None):
        return [found]
    group, _, name = dotted.partition(".")
    if not name:
        return [f"{one}.{key}" for one in groups_with(key)] or near(key, groups(), 1)
    names = {field.name for cls in _classes(group) for field in dataclasses.fields(cls)}
    return [f"{group}.{one}" for one in near(name, sorted(names), 1)]


def near_key(key: str) -> str | None:
    """Return the key, its group before it, that ``key`` is spelt like, as ``method_rank`` is; None
    where there is none."""
    if not re.search(r"\W|_", key):  # it has no group
        return None
    names = [
        f"{group}.{field.name}"
        for group in groups()
        for cls in _classes(group)
        for field in dataclasses.fields(cls)
    ]
    return next(iter(near(key, dict.fromkeys(names), 1)), None)


@functools.cache
def _classes(group: str) -> list[Any]:
    """Return the classes whose fields may stand in ``group``."""
    if group in CHOSEN:
        find, _ = CHOSEN[group]
        return [find(name) for name in module_names(sys.modules[find.__module__])]
    cls = groups().get(group)
    own = map(options_class, module_names(sources)) if group == "dataset" else ()
    return [one for one in (cls, *own) if dataclasses.is_dataclass(one)]


def _known(cls: Any, field: dataclasses.Field[Any]) -> Known | None:
    kind = _kind(cls, field)
    if dataclasses.is_dataclass(kind):
        return None
    words, usual = words_of(cls, field.name), field.default
    example = _EXAMPLES.get(kind, "...")
    if words is not None and len(words.allowed) > 1:
        example = words.allowed[0]
    elif kind in (int, float) and isinstance(usual, int | float):
        example = f"{usual:g}"
    return Known(kind, words, example)


def _kind(cls: Any, field: dataclasses.Field[Any]) -> Any:
    return next(_kinds(typing.get_type_hints(cls)[field.name]), Any)


def _kinds(hint: Any) -> Iterator[Any]:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        yield from (kind for one in typing.get_args(hint) for kind in _kinds(one))
    elif hint is not type(None):
        yield typing.get_origin(hint) or hint
