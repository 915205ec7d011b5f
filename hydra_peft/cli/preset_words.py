"""Words of a preset's sweep beside those that are typed after them, which count over them."""

from __future__ import annotations

import os.path
from collections.abc import Iterable, Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override

from hydra_peft.checkout import CONF
from hydra_peft.cli.word_keys import is_within, keys_of, may_undo, undoes


def laid_over(preset: Iterable[str], later: Iterable[str]) -> list[str]:
    """Return the words of ``preset`` of which ``later`` leave something, and those of ``later``.

    ``~key`` takes off what the preset gives the key, or keys in it, and is gone with that: a run
    has there what it would have without the preset's word. Where the preset gives nothing there, or
    gives it in a mapping of which more is left, ``~key`` stays, and takes the key away.
    """
    parser = OverridesParser.create()
    given = [(word, parser.parse_override(word)) for word in preset]
    after = [(word, parser.parse_override(word)) for word in later]
    # ~key=value asks what the value is.
    undoing = [one for _, one in after if not one.is_delete() or one.value() is None]
    left = [(word, one) for word, one in given if not _is_undone(one, undoing)]
    gone = _keys(one for _, one in given) - _keys(one for _, one in left)
    return [
        *(word for word, _ in left),
        *(
            word
            for word, one in after
            if not (one in undoing and takes_off(one, gone))
            or takes_off(one, _keys(one for _, one in left))
        ),
    ]


def _keys(overrides: Iterable[Override]) -> set[str]:
    return {key for one in overrides if not one.is_delete() for key in keys_of(one)}


def takes_off(override: Override, given: Iterable[str]) -> bool:
    """Whether ``override`` takes away a key, and no option of a group, with some of ``given``."""
    key = override.key_or_group
    is_value = override.is_delete() and not os.path.isdir(CONF / key)
    return is_value and any(is_within(one, keys_of(override)) for one in given)


def around(own: Sequence[str], typed: Sequence[str]) -> list[str]:
    """Return the words of a row beside a sweep with those that are ``typed``, which are for the
    others where they are about keys of its ``own``.

    Those that are about such keys among others come before it.
    """
    parser = OverridesParser.create()
    row = [parser.parse_override(word) for word in own]
    keys = {key for one in row for key in keys_of(one)}
    found = [(word, parser.parse_override(word)) for word in typed]
    left = [(word, one) for word, one in found if not _is_undone(one, row)]
    before = [word for word, one in left if any(may_undo(one, key) for key in keys)]
    return [*before, *own, *(word for word, _ in left if word not in before)]


def _is_undone(override: Override, later: Sequence[Override]) -> bool:
    keys = keys_of(override)
    for one in later:
        keys = [key for key in keys if not undoes(one, key)]
    return not keys
