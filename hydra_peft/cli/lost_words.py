"""Words of a run's command line of which a later one leaves nothing, or not all."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override

from hydra_peft.cli.open_keys import is_open
from hydra_peft.cli.word_keys import keys_of, may_undo
from hydra_peft.errors import UserError
from hydra_peft.plain_text import quoted

_LEAVE_OUT = "leave one of them out"
#: groups of what is the same for all runs of a command
_OF_NO_RUN = ("paths", "sweep", "launcher", "hydra", "logger", "plugins", "device")


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
    words, parser = list(words), OverridesParser.create()
    given: dict[str, str] = {}
    for word in words:
        override = parser.parse_override(word)
        keys = [] if override.is_delete() else keys_of(override)
        twice = {given[key]: key for key in reversed(keys) if key in given}
        undone = [key for key in given if may_undo(override, key)]
        for earlier in dict.fromkeys(given[key] for key in undone):
            if earlier in twice:
                both = f"{quoted(earlier)} and as {quoted(word)}"
                advice = f"{_LEAVE_OUT}{_each(twice[earlier], words)}"
                yield f"{twice[earlier]} is given twice, as {both}", advice
            else:
                yield _replaced(override, quoted(earlier), quoted(word))
        given = {key: earlier for key, earlier in given.items() if key not in undone}
        given |= dict.fromkeys(keys, word)


def _each(key: str, words: Sequence[str]) -> str:
    """Return what to type where a run with each value was meant, as a shell makes several words of
    ``method={lora,hydra}``; empty of what is no setting of a run."""
    values = [word.partition("=")[2] for word in words if word.partition("=")[0] == key]
    is_single = all(re.fullmatch(r"[\w./@-]+", value) for value in values)
    if len(values) < 2 or not is_single or "@" in key or key.partition(".")[0] in _OF_NO_RUN:
        return ""
    return f", or type {key}={','.join(values)} for a run with each"


def _replaced(override: Override, earlier: str, word: str) -> tuple[str, str]:
    does = "taken away" if override.is_delete() else "replaced"
    works = not override.is_delete() and is_open(override.key_or_group)
    advice = f"{_LEAVE_OUT}, or give them in the other order" if works else _LEAVE_OUT
    return f"what {earlier} sets is {does} by {word} after it", advice
