"""The fine-tuning methods, found by name: one module each, its class bound to ``METHOD``."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from typing import Any

from hydra_peft.errors import UserError, did_you_mean
from hydra_peft.methods._base import Method


def method_names() -> list[str]:
    """Return the names of all methods, sorted."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))


def method_class(name: str) -> type[Method]:
    """Return the class of the method called ``name``.

    Raises:
        UserError: no method has that name.
    """
    names = method_names()
    if name not in names:
        raise UserError(
            f"method '{name}' is unknown{did_you_mean(name, names)}: "
            f"choose one of {', '.join(names)}."
        )
    found: type[Method] = importlib.import_module(f"{__name__}.{name}").METHOD
    return found


def build_method(name: str, **options: Any) -> Method:
    """Return the method ``name`` with ``options``.

    Raises:
        UserError: an unknown method or option, or a value that it refuses.
    """
    cls = method_class(name)
    known = [field.name for field in dataclasses.fields(cls)]
    for key in options:
        if key not in known:
            raise UserError(
                f"method '{name}' has no option '{key}'{did_you_mean(key, known)}; "
                f"its options: {', '.join(known) or 'none'}."
            )
    return cls(**options)
