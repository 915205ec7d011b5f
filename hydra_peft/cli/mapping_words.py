"""Words that give a group of settings a mapping, where its keys are typed each by itself.

As a mapping they would pass by all that is asked of a key: whether it may be changed, is known, is
given twice.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from hydra_peft.cli.known_keys import is_section
from hydra_peft.cli.overrides import NO_TRACKER, SEVERAL, check_overrides, holds_sweep, values_of
from hydra_peft.errors import UserError
from hydra_peft.plain_text import shortened

#: characters of the words that a message shows
_SHOWN = 160


def check_no_mappings(words: Iterable[str]) -> None:
    """Check that none of ``words`` gives a mapping to a group of settings.

    Raises:
        UserError: one does; or its keys are none that a run may be given.
    """
    words = list(words)
    for word in words:
        if (dotted := dotted_words(word)) is None:
            continue
        check_overrides([*(one for one in words if one != word), *dotted])
        key = word.lstrip("+").partition("=")[0]
        if key == SEVERAL and not dotted:
            raise UserError(NO_TRACKER.format(word))
        raise UserError(
            f"{shortened(repr(word), 100)} is a mapping, and settings of {key} are given each by "
            f"itself: {_advice(dotted)}."
        )


def dotted_words(word: str) -> list[str] | None:
    """Return the words that give each setting in a mapping its value, or in a sweep its values;
    None where ``word`` gives no group of settings a mapping."""
    try:
        override = OverridesParser.create().parse_override(word) if "{" in word else None
    except HydraException:
        return None  # Hydra says itself what it does not understand
    if override is None or override.is_delete() or not is_section(override.key_or_group):
        return None
    mappings = [value for value in values_of(override) if isinstance(value, dict)]
    if not mappings or any(map(holds_sweep, mappings)):
        return None
    found: dict[str, list[str]] = {}
    for mapping in mappings:
        for name, value in _settings(override.key_or_group, mapping):
            found.setdefault(name, []).append(_text(value))
    return [f"{name}={','.join(dict.fromkeys(values))}" for name, values in found.items()]


def _advice(dotted: Sequence[str]) -> str:
    if not dotted:
        return "it has none, so leave it out"
    forms = [shlex.quote(word) for word in dotted]
    fit = [n for n in range(len(forms)) if len(" ".join(forms[: n + 1])) <= _SHOWN]
    shown = forms[: max(1, len(fit))]
    rest = "" if len(shown) == len(forms) else ", and the others likewise"
    parse = OverridesParser.create().parse_override
    product = sum(parse(word).is_sweep_override() for word in dotted) > 1
    all_of_them = ", which gives a run with each combination" if product else ""
    return f"type {' '.join(shown)}{rest}{all_of_them}"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    # Values of a sweep, which within a mapping are one text.
    return Override._get_value_element_as_str(value).replace("\\,", ",")


def _settings(key: str, mapping: dict[Any, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in mapping.items():
        inside = f"{key}.{name}"
        if isinstance(value, dict) and is_section(inside):
            yield from _settings(inside, value)
        else:
            yield inside, value
