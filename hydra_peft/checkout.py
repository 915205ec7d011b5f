"""The checkout: its folders, and the options that ``conf`` has as yaml files."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from hydra_peft import plugins

ROOT = Path(__file__).resolve().parent.parent
CONF = ROOT / "conf"
RESULTS = ROOT / "results"
CACHE = RESULTS / "cache"
RUNS = RESULTS / "runs"


def conf_roots() -> list[Path]:
    """Return the folders of yaml files: ``conf``, and those that installed plugins bring."""
    return [CONF, *plugins.conf_roots()]


def options(group: str) -> list[str]:
    """Return the names of the options of ``group``, sorted."""
    return sorted(
        {
            str(path.relative_to(root / group).with_suffix(""))
            for root in conf_roots()
            for path in (root / group).rglob("*.yaml")
        }
    )


@functools.cache
def option(group: str, name: str) -> dict[str, Any]:
    """Return what the yaml of an option says, nothing composed; empty where there is none."""
    import yaml

    for root in conf_roots():
        path = root / group / f"{name}.yaml"
        try:
            there = path.is_file()
        except OSError:  # no file can be called that; records have any names
            there = False
        if there:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
            return content if isinstance(content, dict) else {}
    return {}
