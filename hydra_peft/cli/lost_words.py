"""Words of a run's command line of which a later one leaves nothing, or not all."""

from __future__ import annotations

import os.path
from collections.abc import Iterable, Iterator, Mapping

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override

from hydra_peft.checkout import CONF
from hydra_peft.cli.open_keys import GRID, full_key
from hydra_peft.cli.overrides import values_of
from hydra_peft.errors import UserError
from hydra_peft.plain_text import quoted


def check_none_lost(words: Iterable[str]) -> None:
    """Check that every one of ``words`` counts.

    Args:
        words: overrides that Hydra understands.

    Raises:
        UserError: a later one has its key, or replaces or takes away what its key is in.
    """
    for said, advice in lost(words):
        raise UserError(f"{said}: {advice}.")


def lost(words: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield the beginning of a sentence, and what to do, for each of ``words`` that a later one
    undoes.

    A key with a plus is the same key. A mapping is merged with what is there, so that it undoes
    keys of its own alone; but ``protocol.grid={...}`` is the whole grid.
    """
    given: dict[str, str] = {}
    for word in words:
        override = OverridesParser.create().parse_override(word)
        keys = dict.fromkeys(_keys(override))
        undone = {one for one in given if any(_undoes(override, key, one) for key in keys)}
        does = "taken away" if override.is_delete() else "replaced"
        for earlier in dict.fromkeys(given[one] for one in given if one in undone):
            said = f"what {quoted(earlier)} sets is {does} by {quoted(word)} after it"
            yield said, "leave one of them out, or give them in the other order"
        given = {one: given[one] for one in given if one not in undone}
        if override.is_delete():
            continue
        for key in keys:
            if key in given:
                both = f"{quoted(given[key])} and as {quoted(word)}"
                yield f"{key} is given twice, as {both}", "leave one of them out"
            given[key] = word


def _keys(override: Override) -> Iterator[str]:
    """Yield the dotted keys that ``override`` gives values, or takes away."""
    package = "" if override.package is None else f"@{override.package}"
    key = full_key(override.key_or_group + package)
    if override.is_delete() or key == GRID:
        yield key
        return
    for value in values_of(override):
        yield from _inside(key, value)


def _inside(key: str, value: object) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield key
        return
    for name, one in value.items():
        yield from _inside(full_key(f"{key}.{name}"), one)


def _undoes(override: Override, key: str, earlier: str) -> bool:
    """Whether ``override``, of which ``key`` is one, leaves nothing of the key ``earlier``."""
    if earlier == key:
        return override.is_delete()
    # Options are chosen before any value is set, whatever the order.
    return earlier.startswith(f"{key}.") and not os.path.isdir(CONF / key)
