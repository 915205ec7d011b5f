"""``key=value`` arguments for the scripts that need no Hydra."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
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
    if value not in ("true", "false"):
        raise UserError(f"{key}={value} is not allowed: it must be true or false.")
    return value == "true"
