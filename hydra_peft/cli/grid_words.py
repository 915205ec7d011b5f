"""Words of the command line about ``protocol.grid``, in the form that Hydra needs."""

from __future__ import annotations

from collections.abc import Iterable

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from hydra_peft.config.grid import dotted

_GRID = "protocol.grid"


def grid_words(words: Iterable[str]) -> list[str]:
    """Return ``words``; those about ``protocol.grid`` so that Hydra does what they say.

    ``protocol.grid={...}`` replaces the whole grid, which Hydra would merge with the protocol's;
    ``protocol.grid.<key>=[...]`` sets a key, with or without a plus, whether or not the protocol
    has it, and under the names ``lr``, ``scale`` and ``dropout`` of older commands too.
    """
    return [form for word in words for form in _forms(word)]


def _forms(word: str) -> list[str]:
    key, equals, value = word.partition("=")
    name = key.lstrip("+")
    if not equals or not f"{name}.".startswith(f"{_GRID}."):
        return [word]
    if name != _GRID:
        (full,) = dotted({name.removeprefix(f"{_GRID}."): None})
        return [f"++{_GRID}.{full}={value}"]
    try:
        OverridesParser.create().parse_override(word)
    except HydraException:
        return [word]  # Hydra says what is wrong with it
    return [f"~{_GRID}", f"+{_GRID}={value}"]
