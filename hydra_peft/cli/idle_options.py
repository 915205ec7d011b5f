"""Options of a method that decide nothing beside its other options, such as a rank of both branches
where each has its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator
from typing import Any, get_type_hints

from hydra_peft.errors import UserError
from hydra_peft.limits import Words
from hydra_peft.methods._base import Method


def counts(method: Method, name: str) -> bool:
    """Whether ``method`` would be another one with another value of its option ``name``.

    What has its usual value is not asked about, and neither is what the method does not have. The
    usual value may be written otherwise (targets in another order): other values are tried too.
    Options in a mapping are other methods', and count.
    """
    usual = _usual(method)
    value = getattr(method, name, None)
    if name not in usual or value == usual[name] or isinstance(value, dict):
        return True
    same = method.identity()
    for other in _others(method, name):
        if (changed := _replaced(method, name, other)) is None or changed.identity() != same:
            return True
    return False


def counts_if(method: Method, name: str, typed: Collection[str]) -> str:
    """Return in words what would let the option ``name`` of ``method`` count.

    Args:
        typed: keys of the command line.
    """
    for other in _usual(method):
        for value in _others(method, other) if other != name else ():
            changed = _replaced(method, other, value)
            if changed is not None and not counts(method, name) and counts(changed, name):
                key = f"method.{other}"
                if key in typed:
                    return f"it counts without {key}: take that out"
                return f"it counts with {key}={'null' if value is None else value}: add that"
    return "the method's other options leave it nothing to decide"


def _usual(method: Method) -> dict[str, Any]:
    """Return the options of ``method`` with the value of each where none is given."""
    return {
        one.name: one.default
        if one.default_factory is dataclasses.MISSING
        else one.default_factory()
        for one in dataclasses.fields(method)
    }


def _others(method: Method, name: str) -> Iterator[Any]:
    """Yield values of the option ``name`` that ``method`` does not have there."""
    value: Any = getattr(method, name)
    hint = get_type_hints(type(method), include_extras=True).get(name)
    words = [one for one in getattr(hint, "__metadata__", ()) if isinstance(one, Words)]
    found = [_usual(method)[name], *(text for one in words for text in one.allowed)]
    if isinstance(value, bool):
        found.append(not value)
    elif isinstance(value, int | float):
        found.append(value + 1)
    elif isinstance(value, list) and value:
        found.append(value[:1])
        found += [[*value[:-1], value[-1] + 1]] if type(value[-1]) in (int, float) else []
    yield from (one for one in found if one is not dataclasses.MISSING and one != value)


def _replaced(method: Method, name: str, value: Any) -> Method | None:
    """Return ``method`` with another value of one option; None where the others rule it out."""
    try:
        return dataclasses.replace(method, **{name: value})
    except (TypeError, ValueError, UserError):
        return None
