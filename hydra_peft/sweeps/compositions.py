"""Composed and checked jobs, kept on disk: composing a thousand takes most of a minute.

A file holds the jobs of one sweep and is found by a hash over everything that they were made of.
What is read from it is data: bounded, its checksum compared, its values built into the config's
dataclasses, whose own checks run again. No name in it is looked up but those of methods,
optimizers and schedules. A file that is not exactly so is as good as none.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import re
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra_peft.config.check import CHOSEN
from hydra_peft.config.schema import RunConfig
from hydra_peft.errors import UserError
from hydra_peft.files import atomic_write
from hydra_peft.sweeps.job import Job

log = logging.getLogger("hydra_peft")

SCHEMA = 2
FOLDER = "compositions"
#: larger files are not written and not read
MAX_BYTES = 64 * 2**20
#: files kept in the folder, the newest
KEPT = 32
#: resolvers whose results the hash covers
_KNOWN_RESOLVERS = re.compile(r"\$\{\s*(project_root|fastest_precision|in_proportion)\s*:")
#: any other resolver; one whose name is put together by interpolation; the policies, that are
#: replaced after composing
_NOT_FIXED = re.compile(r"\$\{[^}]*:|\$\{[\s.]*\$\{|\}[\w.\t ]*:|\$\{\s*\.*\s*sweep\b")


@dataclass(frozen=True)
class Composition:
    """A job of a sweep, composed and checked.

    Attributes:
        job: its overrides and its composed config.
        config: the typed config; None where it cannot be.
        reason: why not, in one sentence.
    """

    job: Job
    config: RunConfig | None
    reason: str | None = None


def key_of(inputs: Mapping[str, Any]) -> str:
    """Return the hash over what compositions are made of (plain values)."""
    text = json.dumps({**inputs, "schema": SCHEMA}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def is_fixed(texts: Iterable[str]) -> bool:
    """Whether interpolations in ``texts`` always give the same: no clock, no environment."""
    return not any(_NOT_FIXED.search(_KNOWN_RESOLVERS.sub("", text)) for text in texts)


def compositions_file(cache: Path, key: str) -> Path:
    """Return the file of the compositions with ``key``."""
    return cache / FOLDER / f"{key}.json"


def write_compositions(path: Path, compositions: Sequence[Composition]) -> None:
    """Keep ``compositions`` in ``path``, if all could be composed and the disk takes them."""
    if any(c.config is None for c in compositions):
        return
    if not is_fixed(c.job.config for c in compositions):
        return
    parts = _Parts()
    jobs = [_plain(composition, parts) for composition in compositions]
    try:
        body = json.dumps({"schema": SCHEMA, "parts": parts.values, "jobs": jobs}, allow_nan=False)
    except ValueError:  # a number that json does not have
        return
    content = body.encode()
    if len(content) > MAX_BYTES:
        return
    try:
        atomic_write(path, hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
        _remove_old(path.parent)
    except OSError as error:
        log.debug("compositions are not kept: %s", error)


def read_compositions(path: Path, overrides: Sequence[Sequence[str]]) -> list[Composition] | None:
    """Return what ``path`` holds if it is sound and of jobs with these ``overrides``, else None."""
    try:
        if not path.is_file() or path.stat().st_size > MAX_BYTES + 65:
            return None
        checksum, _, content = path.read_bytes().partition(b"\n")
        if hashlib.sha256(content).hexdigest().encode() != checksum:
            return None
        found = _Reader(json.loads(content, parse_constant=_refuse)).compositions()
    except (OSError, ValueError, TypeError, KeyError, IndexError, RecursionError, UserError) as e:
        log.debug("%s is composed anew: %s", path, e)
        return None
    same = [list(c.job.overrides) for c in found] == [list(job) for job in overrides]
    return found if same else None


class _Parts:
    """Values that jobs share, each kept once."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._places: dict[str, int] = {}

    def place(self, value: Any) -> int:
        text = json.dumps(value)
        if text not in self._places:
            self._places[text] = len(self.values)
            self.values.append(value)
        return self._places[text]


def _plain(composition: Composition, parts: _Parts) -> dict[str, Any]:
    config = composition.config
    assert config is not None
    return {
        "overrides": list(composition.job.overrides),
        "composed": {k: parts.place(v) for k, v in json.loads(composition.job.config).items()},
        "names": {key: getattr(config, key).name for key in CHOSEN},
        "typed": {key: parts.place(value) for key, value in dataclasses.asdict(config).items()},
    }


class _Reader:
    """Builds compositions from plain values, each shared value once."""

    def __init__(self, body: Any) -> None:
        if body["schema"] != SCHEMA:
            raise ValueError("another schema")
        self._parts = body["parts"]
        self._jobs = body["jobs"]
        self._hints = typing.get_type_hints(RunConfig)
        self._built: dict[tuple[str, str | None, int], Any] = {}

    def compositions(self) -> list[Composition]:
        return [self._composition(job) for job in self._jobs]

    def _composition(self, job: dict[str, Any]) -> Composition:
        overrides = tuple(typed(str, word) for word in job["overrides"])
        composed = {key: self._part(place) for key, place in job["composed"].items()}
        if job["typed"].keys() != self._hints.keys():
            raise ValueError("other groups than the config's")
        names = typed(dict[str, str], job["names"])
        if names.keys() != CHOSEN.keys():
            raise ValueError("other groups that are chosen by name")
        values = {key: self._value(key, p, names.get(key)) for key, p in job["typed"].items()}
        return Composition(Job(overrides, json.dumps(composed)), RunConfig(**values))

    def _part(self, place: Any) -> Any:
        if type(place) is not int or place < 0:
            raise ValueError(f"{place!r} is no place")
        return self._parts[place]

    def _value(self, key: str, place: Any, name: str | None) -> Any:
        part = self._part(place)
        if (key, name, place) not in self._built:
            hint = self._hints[key] if name is None else CHOSEN[key][0](name)
            self._built[key, name, place] = typed(hint, part)
        return self._built[key, name, place]


def typed(hint: Any, value: Any) -> Any:
    """Return the plain ``value`` as ``hint`` says: a dataclass is built, all else is compared.

    Raises:
        ValueError: it is of another type, strictly: no int is a float.
        UserError: the dataclass refuses it.
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _built(hint, value)
    if origin in (typing.Union, types.UnionType):
        return _first_that_fits(arguments, value)
    if origin is list and type(value) is list:
        return [typed(arguments[0], item) for item in value]
    if origin is dict and type(value) is dict:
        return {typed(arguments[0], k): typed(arguments[1], v) for k, v in value.items()}
    if origin is None and type(value) is hint:
        return value
    raise ValueError(f"{value!r} is not of type {hint}")


def _built(cls: Any, value: Any) -> Any:
    fields = [field.name for field in dataclasses.fields(cls)]
    if type(value) is not dict or value.keys() != set(fields):
        raise ValueError(f"not the fields of {cls.__name__}")
    hints = typing.get_type_hints(cls)
    return cls(**{name: typed(hints[name], value[name]) for name in fields})


def _first_that_fits(hints: Sequence[Any], value: Any) -> Any:
    for hint in hints:
        try:
            return typed(hint, value)
        except ValueError:
            continue
    raise ValueError(f"{value!r} is of none of the types {hints}")


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no number")


def _remove_old(folder: Path) -> None:
    files = sorted(folder.glob("*.json"), key=lambda file: file.stat().st_mtime, reverse=True)
    for file in files[KEPT:]:
        file.unlink(missing_ok=True)
