"""The checkout, or where an installed package keeps its yaml files and puts its results.

An installed package has ``conf`` and the published tables inside (links in the checkout); what it
writes goes below the working folder.
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Any

from hydra_peft import plugins

PACKAGE = Path(__file__).resolve().parent
#: whether the package lies in a checkout, with scripts and tests beside it
IS_CHECKOUT = (PACKAGE.parent / "conf" / "train.yaml").is_file()
ROOT = PACKAGE.parent if IS_CHECKOUT else Path.cwd()
CONF = PACKAGE.parent / "conf" if IS_CHECKOUT else PACKAGE / "conf"
#: the paper's tables as csv
PUBLISHED = ROOT / "results" / "paper" if IS_CHECKOUT else PACKAGE / "published"
RESULTS = ROOT / "results"
CACHE = RESULTS / "cache"
RUNS = RESULTS / "runs"


def script_command(script: str) -> list[str]:
    """Return the command line of ``scripts/<script>.py``, of an installed package likewise."""
    if IS_CHECKOUT:
        return [sys.executable, str(ROOT / "scripts" / f"{script}.py")]
    return [sys.executable, "-m", "hydra_peft", script]


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


def whole_option(group: str, name: str) -> dict[str, Any]:
    """Return the yaml of an option, laid over those of its group that it names as its defaults."""
    own = option(group, name)
    below = [one for one in own.get("defaults", ()) if isinstance(one, str) and one != "_self_"]
    return {**{k: v for one in below for k, v in whole_option(group, one).items()}, **own}
