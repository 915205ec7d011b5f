"""``key=value`` arguments for the scripts that need no Hydra."""

from __future__ import annotations

import dataclasses
import re
import sys
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from hydra_peft.errors import UserError, did_you_mean

T = TypeVar("T")


def parse_arguments(cls: type[T], arguments: Sequence[str], usage: str) -> T:
    """Return an instance of dataclass ``cls`` (all fields strings) from ``key=value`` words.

    ``--help`` prints ``usage`` and exits with 0.

    Raises:
        UserError: a word that is not key=value, an unknown key, or a needed one that is missing.
    """
    if any(word in ("-h", "--help", "help") for word in arguments):
        print(usage)
        sys.exit(0)
    fields = dataclasses.fields(cls)  # type: ignore[arg-type]
    known = [field.name for field in fields]
    values: dict[str, Any] = {}
    for word in arguments:
        key, equals, value = word.partition("=")
        if not equals:
            raise UserError(f"cannot understand '{word}': expected key=value, see --help.")
        if key not in known:
            raise UserError(
                f"unknown key '{key}'{did_you_mean(key, known)}; known: {', '.join(known)}."
            )
        values[key] = value
    for field in fields:
        if field.name not in values and field.default is dataclasses.MISSING:
            raise UserError(f"{field.name} is missing: give {field.name}=..., see --help.")
    return cls(**values)


def parse_bool(key: str, value: str) -> bool:
    """Return the truth of ``value``.

    Raises:
        UserError: neither ``true`` nor ``false``.
    """
    return one_of(key, value, ("true", "false")) == "true"


def one_of(key: str, value: str, known: Sequence[str]) -> str:
    """Return ``value``, which has to be one of ``known``.

    Raises:
        UserError: it is another.
    """
    if value not in known:
        *others, last = known
        raise UserError(f"{key}={value} is not allowed: it must be {', '.join(others)} or {last}.")
    return value


def parse_settings(cls: type[T], words: Sequence[str], usage: str) -> T:
    """Return an instance of dataclass ``cls`` with typed fields from ``key=value`` words.

    Fields are ``int``, ``bool``, ``str``, ``Literal`` of texts or ``tuple[int, ...]`` and have
    defaults.

    Raises:
        UserError: as :func:`parse_arguments`, or a value of another type.
    """
    hints = typing.get_type_hints(cls)
    texts = dataclasses.make_dataclass("Texts", [(name, str, "") for name in hints])
    given = dataclasses.asdict(parse_arguments(texts, words, usage))
    return cls(**{k: _typed(k, text, hints[k]) for k, text in given.items() if text})


def _typed(key: str, text: str, kind: Any) -> Any:
    if kind is bool:
        return parse_bool(key, text)
    if kind is str:
        return text
    if typing.get_origin(kind) is typing.Literal:
        return one_of(key, text, typing.get_args(kind))
    parts = text.split(",") if kind is not int else [text]
    if not all(re.fullmatch(r"0*[1-9][0-9]{,99}", part) for part in parts):
        expected = "a positive whole number" if kind is int else "positive whole numbers"
        raise UserError(f"{key}={text} is not allowed: it must be {expected}.")
    return int(text) if kind is int else tuple(int(part) for part in parts)


def check_name(name: str | None) -> None:
    """Check that files called ``name`` stay in the folder that ``out=`` names."""
    if name and (Path(name).name != name or name == ".."):
        raise UserError(f"name={name} is not allowed: give a name alone, and the folder with out=.")
