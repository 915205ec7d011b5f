"""Shapes of config values: single ones, lists and mappings, each where its type means one."""

from __future__ import annotations

import dataclasses
import math
import re
import types
import typing
from typing import Any

from hydra_peft.errors import UserError
from hydra_peft.limits import Words, words_of
from hydra_peft.plain_text import shortened

#: types of single values in words
SINGLE = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
#: texts that without quotes are read as something else
_LIKE_ANOTHER = re.compile(r"(?i:true|false|null|[+-]?[\d.]+(?:e[+-]?\d+)?|[\[{].*)")
#: keys whose value names something; yaml reads some names as other types, which are spelt otherwise
_NAMES = ("name", "benchmark", "group", "architecture")


def check_shapes(cls: Any, values: dict[str, Any], key: str) -> None:
    """Check that values are single, lists, mappings or null as the fields of ``cls`` have it.

    Unknown names and single values of another type are left to OmegaConf, which converts some; but
    it takes any number, and some words, for a boolean.

    Args:
        cls: a dataclass, perhaps with others in it.
        values: by field.
        key: what they are called in messages.

    Raises:
        UserError: one has another shape, or is no boolean where one is meant.
    """
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        if field.name in values:
            words = words_of(cls, field.name)
            _check(hints[field.name], values[field.name], f"{key}.{field.name}", words)


def _check(hint: Any, value: Any, key: str, words: Words | None = None) -> None:
    if hint is Any:
        _check_plain(value, key)
        return
    others: list[str] = []
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        if value is None:
            return
        hint, *beside = typing.get_args(hint)
        others = [SINGLE[kind] for kind in beside if kind in SINGLE]
    inside = typing.get_args(hint)
    origin = typing.get_origin(hint) or hint
    if origin not in (list, dict, *SINGLE) and not dataclasses.is_dataclass(origin):
        return  # anything, or a type that OmegaConf alone knows
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        check_shapes(hint, value, key)
    elif origin is dict and isinstance(value, dict):
        for name, item in value.items():
            _check(inside[1], item, f"{key}.{name}")
    elif origin is list and isinstance(value, list):
        for place, item in enumerate(value):
            _check(inside[0], item, f"{key}[{place}]")
    elif origin is list and not isinstance(value, dict | None) and not words:
        raise UserError(
            f"{key} is a single value where a list is meant: put it in brackets, as [{value}]."
        )
    elif not _is_single(origin, value):
        form = f", as {key}={{name: value}}" if origin is dict else ""
        group = f"a group of settings{form}"
        single = str(words or (expected(origin, key, value) if origin in SINGLE else group))
        needed = " or ".join(["a list" if origin is list and not words else single, *others])
        raise UserError(f"{key}={shown(value)} is not allowed: it must be {needed}.")
    elif key.rpartition(".")[2] in _NAMES and isinstance(value, bool | float):
        raise UserError(
            f"{key}={value} is not allowed: it must be a text, and without quotes of its own yes, "
            "no, true or 1e3 is read as a boolean or a number; put quotes around it."
        )


def expected(kind: type, key: str, value: object) -> str:
    """Return in words what single ``value`` of ``key`` is meant, with what to type where it has
    several numbers for a sweep."""
    form, text = None, str(value)
    if kind is float and (number := with_point(text)):
        return f"{SINGLE[kind]}, with a decimal point ({key}={number})"
    several = text.strip("[]").replace(",", " ").split()
    ends = re.fullmatch(r"(\d{1,9})\s*(-|to|:|\.\.+)\s*(\d{1,9})", text)
    if kind is int and ends:
        form = f"'{key}=range({ends[1]},{int(ends[3]) + (ends[2] != ':')})'"
    elif kind in (int, float) and len(several) > 1 and all(map(_is_number, several)):
        form = f"{key}={','.join(several)}"
    if kind is int and isinstance(value, float) and value.is_integer() and abs(value) < 1e9:
        return f"{SINGLE[kind]}, without a point or an exponent ({key}={value:.0f})"
    return SINGLE[kind] + (f" (several, for a sweep, are typed as -m {form})" if form else "")


def with_point(text: str) -> str | None:
    """Return a number that ``text`` has with a decimal comma with a point; None where it may be two
    values, as 0,1."""
    found = re.fullmatch(r"0,(0\d*[1-9]\d*)", text)
    return f"0.{found[1]}" if found else None


def _is_number(text: str) -> bool:
    return bool(re.fullmatch(r"(?i)[+-]?[\d.]+(e[+-]?\d+)?", text))


def shown(value: object) -> str:
    """Return ``value`` for a message: a text that is written as a number or a word of yaml's has
    quotes, so that it is not taken for what it was meant to be."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = shortened(str(value), 100)
    return f'"{text}"' if isinstance(value, str) and _LIKE_ANOTHER.fullmatch(value) else text


def _check_plain(value: Any, key: str) -> None:
    """Check a value of any shape: canonical json, and so an identity, has no NaN, and its keys are
    texts."""
    if isinstance(value, dict):
        for name, item in value.items():
            if not isinstance(name, str):
                raise UserError(
                    f"{key} has the key {shown(name)}, and keys are texts: in a yaml file a "
                    "number is quoted, on a command line it cannot be."
                )
            _check_plain(item, f"{key}.{name}")
    elif isinstance(value, list):
        for place, item in enumerate(value):
            _check_plain(item, f"{key}[{place}]")
    elif isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{key}={value} is not allowed: it must be a finite number.")


def _is_single(kind: Any, value: Any) -> bool:
    """Whether a single value is meant and ``value`` is one, for a boolean true or false."""
    single = kind in SINGLE and not isinstance(value, list | dict | None)
    return single and (kind is not bool or isinstance(value, bool))
