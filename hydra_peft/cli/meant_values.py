"""Values of a key that is no text, with brackets or marks of other languages around them."""

from __future__ import annotations

import re
import shlex
from typing import Any

from hydra_peft.cli.known_keys import Known
from hydra_peft.cli.overrides import SEVERAL
from hydra_peft.cli.sound_words import is_of, read_word

#: what may stand by mistake before or after a value; a list has brackets of its own
_MARKS = ";:!?&|`'\"#*"
_BRACKETS = "()[]{}<>"


def meant_value(key: str, value: str, known: Known) -> str | None:
    """Return what to type for ``value``, of which Hydra's grammar takes nothing as it stands.

    Args:
        key: as typed.
        value: with brackets or marks around it.
        known: of the key.

    Returns:
        None: of a text, and where it is not known what was meant.
    """
    inside = re.fullmatch(r"\(([^][(){}:]+)\)|\{([^][(){}:]+)\}", value)
    if inside and (known.expected or known.kind is Any):
        return _in_brackets(key, (inside[1] or inside[2]).strip(" ,"), known)
    if known.expected is None:
        return None
    meant = value.strip(_MARKS if known.kind is list else _MARKS + _BRACKETS)
    form = f"{key}={meant}"
    if meant in ("", value) or "," in meant or not _is_of(form, known):
        return None
    marks = value.replace(meant, "", 1)
    return f"'{marks}' is too many: type {shlex.quote(form)}"


def _in_brackets(key: str, values: str, known: Known) -> str | None:
    """Return how ``values`` are given that stand in round or curly brackets."""
    form = shlex.quote(f"{key}=[{values}]")
    if known.kind in (list, Any) or key == SEVERAL:
        return f"a list has square brackets: type {form}"
    if not all(_is_of(f"{key}={one.strip()}", known) for one in values.split(",")):
        return None
    form = shlex.quote(f"{key}={values}")
    if "," in values:
        return f"several values, one for each run of a sweep, have no brackets: type -m {form}"
    return f"a value has no brackets: type {form}"


def _is_of(form: str, known: Known) -> bool:
    """Whether ``form`` gives a key one value of its kind."""
    read = read_word(form)
    return read is not None and not read.is_sweep_override() and is_of(read, known)
