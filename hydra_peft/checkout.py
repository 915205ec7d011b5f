"""The checkout: its folders, and the options that ``conf`` has as yaml files."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CONF = ROOT / "conf"
RESULTS = ROOT / "results"
CACHE = RESULTS / "cache"
RUNS = RESULTS / "runs"


def options(group: str) -> list[str]:
    """Return the names of the options of ``group`` in ``conf``, sorted."""
    folder = CONF / group
    return sorted(str(p.relative_to(folder).with_suffix("")) for p in folder.rglob("*.yaml"))


@functools.cache
def option(group: str, name: str) -> dict[str, Any]:
    """Return what the yaml of an option says, nothing composed; empty where there is none."""
    import yaml

    path = CONF / group / f"{name}.yaml"
    try:
        there = path.is_file()
    except OSError:  # no file can be called that; records have any names
        there = False
    content = yaml.safe_load(path.read_text(encoding="utf-8")) if there else None
    return content if isinstance(content, dict) else {}
