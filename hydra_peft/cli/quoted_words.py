"""Words of a command line that give a key exactly one text, whatever characters it has."""

from __future__ import annotations

import shlex

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from hydra_peft.config.quoting import in_quotes


def as_typed(key: str, value: str) -> str | None:
    """Return the word, as a shell takes it, by which Hydra gives ``key`` exactly ``value``.

    None where there is none: a value that would be replaced, or that a line cannot show.
    """
    form = f"{key}={in_quotes(value)}"
    return shlex.quote(form) if value.isprintable() and _is_read_as(form, value) else None


def _is_read_as(form: str, value: str) -> bool:
    try:
        return "${" not in value and OverridesParser.create().parse_override(form).value() == value
    except HydraException:
        return False
