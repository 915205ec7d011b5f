"""Values as Hydra's command line reads them."""

from __future__ import annotations

import re


def quoted(value: str) -> str:
    """Return ``value`` so that an override ``key=<value>`` has exactly this text for a value."""
    if re.fullmatch(r"[A-Za-z0-9_./:+-]+", value):
        return value
    return '"' + value.replace('"', '\\"') + '"'
