"""``key=value`` arguments for the scripts that need no Hydra."""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
import sys
import typing
from collections.abc import Iterable, Sequence
from typing import Any, Literal, TypeVar

from hydra_peft.cli.home import check_local
from hydra_peft.cli.parted_words import AT_BLANKS, apart, gathered
from hydra_peft.commands import as_started
from hydra_peft.errors import UserError, did_you_mean, near
from hydra_peft.limits import check_limits
from hydra_peft.listed import listed, without_brackets
from hydra_peft.plain_text import quoted
from hydra_peft.plugins import use

T = TypeVar("T")
#: what scripts call a key of train.py
_OF_TRAIN = {
    "paths.runs": ("runs",),
    "paths.cache": ("cache",),
    "paths.data": ("data",),
    "model.checkpoint": ("checkpoint",),
    "dataset": ("tasks", "task"),
    "method": ("methods",),
    "train.batch_size": ("batch_sizes",),
    "train.epochs": ("epochs",),
    "launcher.pack": ("pack",),
    "--config-dir": ("config_dir",),
}
Device = Literal["auto", "cpu", "cuda"]


def parse_arguments(
    cls: type[T], words: Sequence[str], usage: str, *, beside: Sequence[str] = ()
) -> T:
    """Return an instance of dataclass ``cls`` from ``key=value`` words.

    Fields are ``str``, ``int`` (positive), ``bool``, ``Literal`` of texts or ``tuple[int, ...]``;
    numbers may have :class:`~hydra_peft.limits.Limits`.
    A field ``plugins`` names modules, which are made known (:func:`hydra_peft.plugins.use`).
    ``--help`` prints ``usage`` and exits with 0. Keys ``beside`` are taken from the command before,
    and named where a key is unknown.

    Raises:
        UserError: a word that is not key=value, an unknown key, one that is given twice, a needed
            one that is missing, an empty value, one of another type, or out of its limits.
    """
    if any(word in ("-h", "--help") for word in words):
        print(as_started(usage))
        sys.exit(0)
    check_given_once(words)
    fields = dataclasses.fields(cls)  # type: ignore[arg-type]
    known, hints = [field.name for field in fields], typing.get_type_hints(cls)
    values: dict[str, Any] = {}
    for place, word in enumerate(words):
        key, equals, value = word.partition("=")
        if not equals:
            advice = _with_key(word, known, values, usage) or _parted(words, place, known)
            raise UserError(f"cannot understand '{word}': {advice}.")
        if key not in known:
            if meant := _with_key(word, known, values, usage):
                raise UserError(f"cannot understand '{word}': {meant}.")
            names = [*known, *beside]
            if same := _as_here(key, value, names):
                raise UserError(f"unknown key '{key}': it is of train.py, type {same} here.")
            raise UserError(
                f"unknown key '{key}'{did_you_mean(key, names)}; known: {', '.join(names)}."
            )
        values[key] = value
    for field in fields:
        needed = field.default is dataclasses.MISSING
        if values.get(field.name) == "":
            # Such as of a variable of the shell that is not set.
            usual = isinstance(field.default, str) and field.default
            advice = f"leave it out for {field.name}={usual}" if usual else "leave it out"
            advice = "see --help" if needed else f"{advice}, or give one"
            raise UserError(f"{field.name}= has no value: {advice}.")
        if field.name not in values and needed:
            raise UserError(f"{field.name} is missing: give {field.name}=..., see --help.")
    if values.get("plugins"):
        use(word for word in re.split(r"[\[\],\s]+", values["plugins"]) if word)
    typed = {key: _typed(key, text, hints[key]) for key, text in values.items()}
    check_limits(cls, typed)
    return cls(**typed)


def _parted(words: Sequence[str], place: int, known: Sequence[str]) -> str:
    """Return advice on the word at ``place``, which is not key=value."""
    key, value, count = gathered(words, place, known.__contains__)
    tight = re.sub(r"\s*,\s*", ",", value)
    if count > 1 and key in known and re.fullmatch(r"\S+", tight):
        return AT_BLANKS.format(shlex.quote(f"{key}={tight}"))
    if count > 1 and key in known:
        key, value = apart(words[place], known.__contains__)
    meant = [key] if key in known else near(key, known, 1)
    form = "".join(shlex.quote(f"{one}={value}") if value else f"{one}=..." for one in meant)
    such = f", such as {form}" if words[place] in meant else f" (did you mean {form}?)"
    return f"expected key=value{such if form else ''}, see --help"


def _with_key(word: str, known: Iterable[str], given: Iterable[str], usage: str) -> str | None:
    """Return advice where ``word`` is a folder without a key; runs' have a ``=`` in their names."""
    key = next((key for key in ("run", "runs") if key in known), None)
    if key is None or not os.path.isdir(os.path.expanduser(word)):
        return None
    if key in given:
        several = "a comma before it" if f"{key}=<folder>[," in usage else "a command of its own"
        return f"{key} is given before, and a folder more needs {several}"
    return f"if it is the folder of {key}, type {shlex.quote(f'{key}={word}')}"


def _as_here(key: str, value: str, known: Sequence[str]) -> str:
    """Return the word for what ``key`` of train.py is given; empty where it is not ``known``."""
    own = next((name for name in _OF_TRAIN.get(key, ()) if name in known), "")
    # A task is named without the folder of its yaml.
    value = re.sub(r"\w+/", "", value) if key == "dataset" else value
    return shlex.quote(f"{own}={value or '...'}") if own else ""


def check_given_once(words: Iterable[str]) -> None:
    """Check that no key of ``key=value`` words is there twice: the last would count, silently.

    Raises:
        UserError: one is.
    """
    given: dict[str, str] = {}
    for word in words:
        key, equals, _ = word.partition("=")
        if equals and key in given:
            both = f"{quoted(given[key])} and as {quoted(word)}"
            raise UserError(f"{key} is given twice, as {both}: leave one of them out.")
        given[key] = word


def _typed(key: str, text: str, kind: Any) -> Any:
    if str in (kind, *typing.get_args(kind)):  # or None, where there is no word of it
        check_local(text)
        return text
    if kind is bool or typing.get_origin(kind) is typing.Literal:
        allowed = ("true", "false") if kind is bool else typing.get_args(kind)
        if text not in allowed:
            *others, last = filter(None, allowed)  # "" is what it is without the key
            raise UserError(
                f"{key}={text} is not allowed: it must be {', '.join(others)} or {last}."
            )
        return text == "true" if kind is bool else text
    parts = without_brackets(text).split(",") if kind is not int else [text]
    if not all(re.fullmatch(r"0*[1-9][0-9]{,17}", part) for part in parts):
        # More is no size of anything, and no number of torch's.
        expected = "a positive whole number" if kind is int else "positive whole numbers"
        raise UserError(f"{key}={text} is not allowed: it must be {expected} of at most 18 digits.")
    return int(text) if kind is int else tuple(map(int, listed(key, text)))
