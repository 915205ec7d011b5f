"""Values as Hydra's command line reads them."""

from __future__ import annotations

import re


def override_value(value: str) -> str:
    """Return ``value`` so that an override ``key=<value>`` has exactly this text for a value."""
    return value if re.fullmatch(r"[A-Za-z0-9_./:+-]+", value) else in_quotes(value)


def in_quotes(value: str) -> str:
    """Return ``value`` as a quoted text of Hydra's grammar.

    There a backslash is one of its own unless it, or a row of them, stands before a quote.
    """
    return '"' + re.sub(r'(\\+)(?="|\Z)', r"\1\1", value).replace('"', '\\"') + '"'
