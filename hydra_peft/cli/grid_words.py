"""Words of the command line about keys that no yaml lists, in the form that Hydra needs.

These are the keys of ``protocol.grid``, the options of an augmentation and of a method's branches,
other names of splits, and a model's arguments.
"""

from __future__ import annotations

from collections.abc import Iterable

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from hydra_peft.config.grid import dotted

_GRID = "protocol.grid"
_OPTIONS = (
    *("data.augment_options", "method.parallel_options", "method.sequential_options"),
    "dataset.split_names",
)
_ARGUMENTS = "model.arguments"


def grid_words(words: Iterable[str]) -> list[str]:
    """Return ``words``; those about such keys so that Hydra does what they say.

    ``protocol.grid={...}`` replaces the whole grid, which Hydra would merge with the protocol's;
    ``protocol.grid.<key>=[...]`` sets a key, with or without a plus, whether or not the protocol
    has it, and under the names ``lr``, ``scale`` and ``dropout`` of older commands too.
    ``data.augment_options.<key>=...`` and ``data.augment_options={...}`` set options with or
    without a plus, and so do those of ``method.parallel_options``, ``method.sequential_options``,
    ``dataset.split_names`` and ``model.arguments``.
    """
    return [form for word in words for form in _forms(word)]


def without_added_plus(word: str) -> str:
    """Return ``word`` as it may have been typed: a plus that only Hydra needs is left out."""
    plain = word.lstrip("+")
    return plain if _forms(plain) == [word] else word


def _forms(word: str) -> list[str]:
    key, equals, value = word.partition("=")
    name = key.lstrip("+")
    if equals and f"{name}.".startswith(tuple(f"{options}." for options in _OPTIONS)):
        return [f"++{name}={value}"]
    if equals and f"{key}.".startswith(f"{_ARGUMENTS}."):
        return [f"++{word}"]
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
