"""Plain values as typed ones: a dataclass, one of its fields, a single value."""

from __future__ import annotations

import dataclasses
import functools
import typing
from contextlib import nullcontext
from types import GenericAlias
from typing import Any, TypeVar, cast

from omegaconf import MISSING, OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from hydra_peft.config.omegaconf_errors import as_sentence, check_package, unknown_key
from hydra_peft.config.plain import CHOSEN, build
from hydra_peft.config.shapes import check_shapes, expected, shown
from hydra_peft.errors import UserError, in_full
from hydra_peft.limits import Words, check_limit, check_limits
from hydra_peft.memo import memo
from hydra_peft.plain_text import shortened

T = TypeVar("T")
#: groups and grids that passed and are kept: jobs of a sweep share most of theirs
KEPT = 4096


def typed(cls: type[T], values: dict[str, Any], key: str) -> T:
    """Return the dataclass ``cls`` of plain ``values``, which messages call ``key``.

    Raises:
        UserError: an unknown or missing key, a value of the wrong type or out of its limits.
    """
    return cast(T, _typed(cls, values, key))


@memo(KEPT)
def _typed(cls: type, values: dict[str, Any], key: str) -> Any:
    check_shapes(cls, values, key)
    try:
        merged = OmegaConf.merge(OmegaConf.structured(_with_missing(cast(Any, cls))), values)
        options = cast(dict[str, Any], OmegaConf.to_container(merged, throw_on_missing=True))
    except ConfigKeyError as error:
        full = f"{key}.{error.full_key}"
        known = [field.name for field in dataclasses.fields(cast(Any, cls))]
        check_package(full, values.get(str(error.full_key)), known)
        # The option that was chosen may have another name: method=lora_glue is of lora too.
        of = f" of {key} '{cls.name}'" if key in CHOSEN else ""  # type: ignore[attr-defined]
        raise UserError(unknown_key(full, full.rsplit(".", 1)[-1], known, of)) from None
    except OmegaConfBaseException as error:
        raise UserError(as_sentence(error, f"{key}.{error.full_key}")) from None
    except OverflowError:
        said = shortened(str(values), 200)
        raise UserError(f"{key} has a number that is too large for any key: {said}.") from None
    check_limits(cls, options, f"{key}.")
    with in_full(options, key) if key in CHOSEN else nullcontext():
        return build(cls, options)


def typed_item(cls: type, name: str, value: Any, key: str) -> Any:
    """Return ``value`` as field ``name`` of ``cls`` has it; it is called ``key`` in messages.

    Raises:
        UserError: it is of another type, or out of the field's limits.
    """
    hint = typing.get_type_hints(cls)[name]
    if hint is bool and not isinstance(value, bool):
        raise UserError(f"{key}={shown(value)} is not allowed: it must be true or false.")
    # Of grids with hundreds of values, most are numbers as they should be.
    as_it_is = type(value) is hint and hint in (bool, int, float)
    typed = value if as_it_is else _converted(hint, name, value, key)
    check_limit(typing.get_type_hints(cls, include_extras=True)[name], typed, key)
    return typed


def _converted(hint: Any, name: str, value: Any, key: str) -> Any:
    twin = dataclasses.make_dataclass("Item", [(name, hint, dataclasses.field(default=MISSING))])
    try:
        merged = OmegaConf.merge(OmegaConf.structured(twin), {name: value})
        return cast(dict[str, Any], OmegaConf.to_container(merged))[name]
    except OmegaConfBaseException as error:
        raise UserError(as_sentence(error, key)) from None
    except OverflowError:
        raise UserError(f"{key} is a number that is too large for any key.") from None


def check_value(kind: type[T], value: Any, key: str, words: Words | None = None) -> T:
    """Return ``value``, which ``key`` has alone, if it is of the type ``kind``.

    Args:
        words: that it has to be one of, for messages.

    Raises:
        UserError: it is not.
    """
    # bool is a subclass of int, yet seed=true is a mistake.
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        needed = words or expected(kind, key, value)
        raise UserError(f"{key}={shown(value)} is not allowed: it must be {needed}.")
    return value


@functools.cache
def _with_missing(cls: type) -> type:
    """Return a plain twin of dataclass ``cls``: its fields and types, none of its checks.

    OmegaConf checks names and types on the twin; the checks of ``cls`` itself then run once, on
    final values, with our own messages.
    """
    hints = typing.get_type_hints(cls)
    fields = []
    for field in dataclasses.fields(cast(Any, cls)):
        hint = hints[field.name]
        inside = typing.get_args(hint)
        if typing.get_origin(hint) is dict and dataclasses.is_dataclass(inside[1]):
            hint = GenericAlias(dict, (inside[0], _with_missing(cast(type, inside[1]))))
        if dataclasses.is_dataclass(hint):
            hint = _with_missing(cast(type, hint))
            fields.append((field.name, hint, dataclasses.field(default_factory=hint)))
        elif field.default is not dataclasses.MISSING:
            fields.append((field.name, hint, dataclasses.field(default=field.default)))
        elif field.default_factory is not dataclasses.MISSING:
            fields.append(
                (field.name, hint, dataclasses.field(default_factory=field.default_factory))
            )
        else:
            fields.append((field.name, hint, dataclasses.field(default=cast(Any, "???"))))
    return dataclasses.make_dataclass(cls.__name__, fields)
