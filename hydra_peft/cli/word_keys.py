"""Which keys of a run's config words of its command line set or take away."""

from __future__ import annotations

import os.path
from collections.abc import Collection, Iterator, Mapping

from hydra.core.override_parser.types import Override

from hydra_peft.checkout import CONF
from hydra_peft.cli.overrides import values_of
from hydra_peft.config.grid import dotted

GRID = "protocol.grid"


def full_key(key: str) -> str:
    """Return ``key``, one of a grid's by its full name."""
    if not key.startswith(f"{GRID}."):
        return key
    (full,) = dotted({key.removeprefix(f"{GRID}."): None})
    return f"{GRID}.{full}"


def is_within(key: str, keys: Collection[str]) -> bool:
    """Whether ``key`` is one of ``keys`` or stands below one."""
    return any(f"{key}.".startswith(f"{one}.") for one in keys)


def keys_of(override: Override) -> list[str]:
    """Return the dotted keys that ``override`` gives values, or takes away."""
    return list(dict.fromkeys(key for keys in _by_value(override) for key in keys))


def _by_value(override: Override) -> Iterator[list[str]]:
    """Yield the keys of each value that ``override`` has in a sweep."""
    package = "" if override.package is None else f"@{override.package}"
    key = full_key(override.key_or_group + package)
    for value in (None,) if override.is_delete() else values_of(override):
        # A mapping is merged with what is there, but for the grid, which is replaced as a whole.
        whole = [key] if key == GRID and isinstance(value, Mapping) else []
        yield [*whole, *_inside(key, value)]


def _inside(key: str, value: object) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield key
        return
    for name, one in value.items():
        yield from _inside(full_key(f"{key}.{name}"), one)


def undoes(override: Override, earlier: str) -> bool:
    """Whether ``override``, whatever value it has in a sweep, leaves nothing that an earlier word
    gave the key ``earlier``."""
    return all(any(_undoes(key, earlier) for key in keys) for keys in _by_value(override))


def may_undo(override: Override, earlier: str) -> bool:
    """Whether some value that ``override`` has in a sweep does that."""
    return any(_undoes(key, earlier) for key in keys_of(override))


def _undoes(key: str, earlier: str) -> bool:
    # Options are chosen before any value is set, whatever the order.
    return is_within(earlier, [key]) and (key == earlier or not os.path.isdir(CONF / key))
