"""The template package of docs/plugin, as pip installs it, in a folder of a test's own."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hydra_peft import checkout, plugins

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TEMPLATE = Path(__file__).resolve().parent.parent / "docs" / "plugin"


@contextmanager
def importable(site: Path, *, installed: bool) -> Iterator[Path]:
    """Copy the package into ``site``, which Python looks into; give the folder of its yaml files.

    Args:
        site: a folder that need not exist.
        installed: whether it has the metadata that pip writes, with the entry points.
    """
    shutil.copytree(TEMPLATE / "peft_gain", site / "peft_gain")
    if installed:
        _write_metadata(site)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(site))
        forget()
        try:
            yield site / "peft_gain" / "conf"
        finally:
            forget()
    forget()


def forget() -> None:
    """Forget all plugins, as a fresh process has not heard of any."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "peft_gain"]:
        del sys.modules[name]
    for used in plugins._used.values():
        used.clear()
    plugins._entry_points.cache_clear()
    plugins._hash.cache_clear()
    checkout.option.cache_clear()
    importlib.invalidate_caches()


def _write_metadata(site: Path) -> None:
    project = tomllib.loads((TEMPLATE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    info = site / f"peft_gain-{project['version']}.dist-info"
    info.mkdir()
    told = {"Metadata-Version": "2.1", "Name": project["name"], "Version": project["version"]}
    (info / "METADATA").write_text("".join(f"{key}: {value}\n" for key, value in told.items()))
    points = "".join(
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in found.items())
        for group, found in project["entry-points"].items()
    )
    (info / "entry_points.txt").write_text(points)
