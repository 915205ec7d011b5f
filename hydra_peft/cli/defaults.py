"""The settings that runs without overrides have, composed from ``conf`` for tables to compare."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from hydra_peft.cli.hydra_errors import COMPOSITION_ERRORS
from hydra_peft.cli.train import CONF, register
from hydra_peft.config.check import check_config
from hydra_peft.config.schema import SEARCHES
from hydra_peft.errors import UserError
from hydra_peft.tables.overrides import Origin


def default_settings(origins: Iterable[Origin]) -> dict[Origin, dict[str, Any]]:
    """Return the settings of a run of each origin to which nothing was said beside.

    Origins that ``conf`` has no yaml for are left out, and so are those that it refuses.
    """
    register()
    GlobalHydra.instance().clear()
    found = {}
    with initialize_config_dir(str(CONF), version_base="1.3"):
        for origin in sorted(set(origins), key=repr):
            overrides = _overrides(origin)
            if overrides is None:
                continue
            try:
                settings = check_config(compose("train", overrides)).settings
            except (UserError, *COMPOSITION_ERRORS):
                continue
            if origin.model not in _options("model"):
                # Of any other timm model the name is the architecture.
                settings["model.architecture"] = origin.model
            found[origin] = settings
    return found


def _overrides(origin: Origin) -> list[str] | None:
    """Return how to compose a run of ``origin``; None where ``conf`` lacks a part of it."""
    # Settings hold recipe values by reference, so any task of the benchmark will do.
    tasks = [option for option in _options("dataset") if _benchmark(option) == origin.benchmark]
    known = origin.protocol in _options("protocol") and origin.method in _options("method")
    if not known or not tasks or origin.search not in SEARCHES:
        return None
    chosen = {"protocol": origin.protocol, "method": origin.method, "dataset": tasks[0]}
    words = [f"{group}={option}" for group, option in chosen.items()]
    named = origin.model in _options("model")
    words += [f"model={origin.model}"] if named else ["model=timm", "model.architecture=any"]
    tuned = ["protocol.tune=true", f"protocol.search={origin.search}"]
    return [*words, *tuned] if origin.tuned else words


def _options(group: str) -> list[str]:
    folder = CONF / group
    return sorted(str(p.relative_to(folder).with_suffix("")) for p in folder.rglob("*.yaml"))


def _benchmark(option: str) -> object:
    content = yaml.safe_load((CONF / "dataset" / f"{option}.yaml").read_text(encoding="utf-8"))
    return content.get("benchmark") if isinstance(content, dict) else None
