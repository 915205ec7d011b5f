"""Words that are offered in the place of one that was typed, each looked at as a typed one is."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, QuotedString, RangeSweep
from hydra.errors import HydraException

from hydra_peft.checkout import options
from hydra_peft.cli.home import expand_home
from hydra_peft.cli.hydra_keys import is_multirun
from hydra_peft.cli.known_keys import PRESETS, Known, known_key, meant_keys
from hydra_peft.cli.mapping_words import check_no_mappings
from hydra_peft.cli.overrides import check_choices, check_overrides, values_of
from hydra_peft.cli.quoted_words import as_typed
from hydra_peft.errors import UserError


def meant_word(key: str, value: str = "", words: Sequence[str] = ()) -> str | None:
    """Return ``key=value``, as a shell takes it, for the key that ``key`` is, or may stand for.

    That is one near it, or one whose group was left out; None where there is none, or where the
    value is none of it.

    Args:
        key: which may have a plus before it.
        value: what was typed, an example if that is empty.
        words: the command line.
    """
    forms = []
    for full in meant_keys(key):
        if (known := known_key(full)) is None:
            continue
        word = f"{'+' * (full == PRESETS)}{full}"
        forms.append(_sound(word, value, known, words) if value else f"{word}={known.example}")
    return " or ".join(filter(None, forms)) or None


def _sound(key: str, value: str, known: Known, words: Sequence[str]) -> str | None:
    """Return the word that gives ``key`` the ``value``, which may be several with blanks between
    them; None where there is none that would be taken."""
    text = known.kind is str and known.words is None
    several = ",".join(re.split(r"[\s,]+", value.strip(" ,")))
    tight = value if text else re.sub(r"\s*,\s*", ",", value)
    for one in (tight, several, f"[{several}]"):
        if (read := read_word(f"{key}={one}")) is None or not is_of(read, known):
            continue
        if not read.is_sweep_override() or is_multirun(words):
            return shlex.quote(f"{key}={one}")
        if not text:
            return f"-m {shlex.quote(f'{key}={one}')}"
    form = as_typed(key, value) if text else None
    return form if form and read_word(*shlex.split(form)) else None


def read_word(word: str) -> Override | None:
    """Return ``word`` as Hydra reads it, None where it cannot, or where it would be refused."""
    try:
        word = expand_home(word)
        check_no_mappings([word])
        check_choices([word])
        check_overrides([word])
        return OverridesParser.create().parse_override(word)
    except (HydraException, UserError):
        return None


def is_of(override: Override, known: Known) -> bool:
    """Whether ``override`` gives a key values of its kind: in a sweep, each of them."""
    if isinstance(sweep := override.value(), RangeSweep | Glob):
        return known.kind in ((int, float) if isinstance(sweep, RangeSweep) else (None,))
    values = [one.text if isinstance(one, QuotedString) else one for one in values_of(override)]
    if known.kind is None and len(values) > 1:
        return set(values) <= set(options(override.key_or_group))
    return all(_is_one(value, known) for value in values)


def _is_one(value: Any, known: Known) -> bool:
    if known.kind is Any or (isinstance(value, str) and "${" in value):
        return True
    if known.words is not None:
        return known.words.admit(str(value))
    if known.kind is None:
        return isinstance(value, list) or bool(re.fullmatch(r"[^\s=]+", str(value)))
    if known.kind is str:
        return not isinstance(value, list | dict)
    if isinstance(value, bool) and known.kind is not bool:
        return False
    return isinstance(value, (int, float) if known.kind is float else known.kind)
