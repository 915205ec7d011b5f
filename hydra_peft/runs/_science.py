"""What a record's science says, by key, and what it makes of a method and a head."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from hydra_peft.errors import UserError
from hydra_peft.heads import head_class
from hydra_peft.methods import build_method, method_class

#: groups whose options act in another form than a config has, by what returns an option's class
BUILT: dict[str, Callable[[str], Callable[..., Any]]] = {
    "method": method_class,
    "head": head_class,
}
#: what building a method raises that is none
_NO_METHOD = (UserError, LookupError, TypeError, ValueError, ArithmeticError, AttributeError)


def values_of(groups: object, name: str) -> dict[str, Any]:
    """Return the group ``name``; empty where there is none."""
    values = groups.get(name) if isinstance(groups, Mapping) else None
    return values if isinstance(values, dict) else {}


def by_key(groups: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of ``groups`` by dotted key, those without a group by their own."""
    found = dict(groups)
    for group, values in groups.items():
        if isinstance(values, dict):
            found |= {f"{group}.{key}": value for key, value in values.items()}
    return found


@lru_cache(maxsize=256)  # thousands of records have one of a few
def label_of(text: str) -> str:
    """Return the short form of a method, "" where it cannot be built here.

    So of a plugin that is not here, or of a version with other options.

    Args:
        text: the method as the record has it, as json.
    """
    method = json.loads(text)
    try:
        return build_method(method["name"], **method_class(method["name"]).options_of(method)).label
    except _NO_METHOD:
        return ""


@lru_cache(maxsize=1024)
def identity_of(group: str, text: str) -> dict[str, Any]:
    """Return a group as the science has it, empty where it cannot be built here.

    Args:
        group: one of :data:`BUILT`.
        text: the group as a config has it, as json.
    """
    options = json.loads(text)
    try:
        options.pop("recipe", None)  # which learning rate of the task's recipe: no option of it
        made = BUILT[group](options.pop("name"))(**options).identity()
    except _NO_METHOD:
        return {}
    return dict(json.loads(json.dumps(made)))
