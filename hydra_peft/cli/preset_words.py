"""Words of a preset's sweep beside those that are typed after them, which count over them."""

from __future__ import annotations

import os.path
from collections.abc import Iterable, Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override

from hydra_peft.checkout import CONF
from hydra_peft.cli.word_keys import keys_of, undoes


def words_left(preset: Iterable[str], typed: Sequence[str]) -> list[str]:
    """Return the words of ``preset`` that stand before ``typed``.

    One of which ``typed`` leaves nothing is dropped. But of one whose key is taken away the first
    value stays: there may be nothing to take away where the preset alone adds it.
    """
    parser = OverridesParser.create()
    later = [parser.parse_override(word) for word in typed]
    found = ((word, parser.parse_override(word)) for word in preset)
    return [left for word, one in found if (left := _left(word, one, later))]


def is_undone(word: str, later: Iterable[str]) -> bool:
    """Whether words ``later`` leave nothing of ``word``."""
    parser = OverridesParser.create()
    return bool(_undoing(parser.parse_override(word), map(parser.parse_override, later)))


def _left(word: str, override: Override, later: Sequence[Override]) -> str | None:
    if not (undoing := _undoing(override, later)):
        return word
    taken = any(one.is_delete() for one in undoing)
    if not taken or override.is_delete() or os.path.isdir(CONF / override.key_or_group):
        return None
    if not override.is_sweep_override():
        return word
    return f"{override.get_key_element()}={next(override.sweep_string_iterator())}"


def _undoing(override: Override, later: Iterable[Override]) -> list[Override]:
    """Return those of ``later`` that together leave nothing of ``override``; none where they leave
    some."""
    keys, found = keys_of(override), []
    for one in later:
        left = [key for key in keys if not undoes(one, key)]
        if len(left) < len(keys):
            found.append(one)
        keys = left
    return [] if keys else found
