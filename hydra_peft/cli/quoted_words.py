"""Words of a command line that give a key exactly one text, whatever characters it has."""

from __future__ import annotations

import shlex

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from hydra_peft.config.quoting import in_quotes, override_value


def as_typed(key: str, value: str) -> str | None:
    """Return the word, as a shell takes it, by which Hydra gives ``key`` exactly ``value``.

    What is in brackets is taken for a list of texts. None where there is no such word: a value
    that would be replaced, or that a line cannot show.
    """
    if not value.isprintable():
        return None
    if value[:1] == "[" and value[-1:] == "]":
        parts = [part.strip() for part in value[1:-1].split(",")]
        form = f"{key}=[{','.join(map(override_value, parts))}]"
        return shlex.quote(form) if _is_read_as(form, parts) else None
    form = f"{key}={in_quotes(value)}"
    return shlex.quote(form) if _is_read_as(form, value) else None


def _is_read_as(form: str, value: str | list[str]) -> bool:
    try:
        read = OverridesParser.create().parse_override(form).value()
    except HydraException:
        return False
    if isinstance(read, list):  # numbers in it stay numbers
        read = [v if isinstance(v, str) else part for v, part in zip(read, value, strict=False)]
    return "${" not in form and read == value
