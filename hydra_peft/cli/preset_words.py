"""Words of a preset's sweep beside those that are typed after them, which count over them."""

from __future__ import annotations

import os.path
from collections.abc import Iterable, Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override

from hydra_peft.checkout import CONF
from hydra_peft.cli.word_keys import keys_of, undoes


def words_left(preset: Iterable[str], typed: Sequence[str]) -> list[str]:
    """Return the words of ``preset`` of which ``typed``, which come after them, leave something."""
    parser = OverridesParser.create()
    later = [parser.parse_override(word) for word in typed]
    return [word for word in preset if not _undoing(parser.parse_override(word), later)]


def is_undone(word: str, later: Iterable[str]) -> bool:
    """Whether words ``later`` leave nothing of ``word``."""
    parser = OverridesParser.create()
    return bool(_undoing(parser.parse_override(word), map(parser.parse_override, later)))


def keys_taken(preset: Iterable[str], typed: Iterable[str]) -> set[str]:
    """Return the keys of values that words ``typed`` take away and words ``preset`` give.

    A job may have nothing there once the preset's word is left out.
    """
    parser = OverridesParser.create()
    given = [parser.parse_override(word) for word in preset]
    taken = [one for word in typed if (one := parser.parse_override(word)).is_delete()]
    return {
        one.key_or_group
        for one in taken
        if not os.path.isdir(CONF / one.key_or_group)
        and any(one in _undoing(word, taken) for word in given if not word.is_delete())
    }


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
