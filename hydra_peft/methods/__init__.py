"""The fine-tuning methods, found by name: one module each, its class bound to ``METHOD``."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import inspect
import sys
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from hydra_peft.errors import UserError, did_you_mean
from hydra_peft.methods._base import Method
from hydra_peft.plain_text import quoted
from hydra_peft.registry import find_module, is_known, module_names

#: what a list may be given as already, or is no list of items
_SEQUENCES = (list, tuple, str, bytes, bytearray, range, memoryview)


def method_names() -> list[str]:
    """Return the names of all methods, sorted."""
    return module_names(sys.modules[__name__])


def method_class(name: str) -> type[Method]:
    """Return the class of the method called ``name``.

    Raises:
        UserError: no method has that name.
    """
    found: type[Method] = find_module(sys.modules[__name__], name, "method").METHOD
    return found


def is_own(method: Method) -> bool:
    """Whether the name of ``method`` leads back to its class: one of these, not a user's."""
    known = is_known(sys.modules[__name__], method.name)
    return known and type(method) is method_class(method.name)


def build_method(method: str | type[Method], **options: Any) -> Method:
    """Return the method of a name or a class with ``options``.

    Raises:
        UserError: an unknown method or option, or a value that it refuses.
    """
    cls = method_class(method) if isinstance(method, str) else method
    named = isinstance(getattr(cls, "name", None), str)
    if not issubclass(cls, Method) or not named or inspect.isabstract(cls):
        raise UserError(
            f"{cls.__name__} is no method: it has to be a subclass of hydra_peft.methods.Method "
            "with a class attribute 'name' and a method 'apply'."
        )
    known = [field.name for field in dataclasses.fields(cls)]
    for key in options:
        if key not in known:
            raise UserError(
                f"method '{cls.name}' has no option '{key}'{did_you_mean(key, known)}; "
                f"its options: {', '.join(known) or 'none'}."
            )
    for field in dataclasses.fields(cls):
        absent = field.default is field.default_factory is dataclasses.MISSING
        if absent and field.init and field.name not in options:
            raise UserError(f"method '{cls.name}' has no value for its option '{field.name}'.")
    hints = typing.get_type_hints(cls)
    options = {key: _from_json(value, hints[key]) for key, value in options.items()}
    for key, value in options.items():
        if not _fits(value, hints[key]):
            raise UserError(
                f"option '{key}' of method '{cls.name}' is {quoted(value)}: "
                f"expected {_words(hints[key])}."
            )
    return cls(**options)


def _from_json(value: Any, hint: Any) -> Any:
    """Return ``value`` as ``hint`` has it, where it has another form: json, as of a saved adapter,
    has no tuples, texts as the keys of mappings, an enumeration's values in the place of its
    members; OmegaConf has lists of its own."""
    origin, parts = typing.get_origin(hint) or hint, typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        found = (_from_json(value, part) for part in parts if _fits(_from_json(value, part), part))
        return next(found, value)
    if origin is list and isinstance(value, Sequence) and not isinstance(value, _SEQUENCES):
        return list(value)  # such as OmegaConf's
    if origin is tuple and isinstance(value, list):
        return tuple(value)
    if origin is dict and parts and isinstance(value, Mapping) and parts[0] is int:
        whole = all(isinstance(key, str) and key.lstrip("-").isdecimal() for key in value)
        return {int(key): item for key, item in value.items()} if whole else value
    if isinstance(origin, type) and issubclass(origin, enum.Enum):
        with contextlib.suppress(ValueError):
            return origin(value)
    return value


def _fits(value: Any, hint: Any) -> bool:
    """Whether ``value`` has the type ``hint``; an int is a float, a bool is no number.

    Hints that our own methods do not have are left to the method.
    """
    parts = typing.get_args(hint)
    if hint is Any:
        return True
    if typing.get_origin(hint) is list:
        return isinstance(value, list | tuple) and all(_fits(item, parts[0]) for item in value)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return any(_fits(value, part) for part in parts)
    if typing.get_origin(hint) is tuple:
        return isinstance(value, list | tuple)
    if typing.get_origin(hint) is dict:
        return isinstance(value, Mapping) and all(_fits(key, parts[0]) for key in value)
    if not isinstance(hint, type) or parts:
        return True
    if isinstance(value, bool):
        return hint is bool
    return isinstance(value, int | float) if hint is float else isinstance(value, hint)


def _words(hint: Any) -> str:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return " | ".join(_words(part) for part in typing.get_args(hint))
    if hint is type(None):
        return "None"
    return hint.__name__ if isinstance(hint, type) and not typing.get_args(hint) else str(hint)
