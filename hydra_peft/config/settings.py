"""The settings of a run: its science without task and seed, as it was configured."""

from __future__ import annotations

from typing import Any

from hydra_peft.config.identity import TUNED, science
from hydra_peft.config.schema import RunConfig

_RECIPE = "dataset.recipe"
#: what belongs to a task: settings have the reference in its place
_OF_TASK = (_RECIPE, "dataset.prompts")
#: what makes each seed of a row draw shots of its own
_BY_SEED = "${seed}"


def is_recipes(written: object) -> bool:
    """Whether ``written``, a value as it was composed, refers to the task's recipe."""
    return isinstance(written, str) and _RECIPE in written


def settings_of(checked: RunConfig, raw: dict[str, Any]) -> dict[str, Any]:
    """Return the science without task and seed, recipe values as references to the recipe.

    Args:
        checked: the typed config.
        raw: the composed one, nothing resolved: it says which values are the recipe's.
    """
    groups = science(checked)
    del groups["dataset"], groups["seed"]
    plugins = groups.pop("plugins", {})
    settings: dict[str, Any] = {f"plugins.{key}": plugins[key] for key in plugins if key in groups}
    groups.pop("init_from", None)
    if is_recipes(raw.get("init_from")):
        settings["init_from"] = "recipe"  # which starts some tasks from a run and others not
    elif checked.init_from is not None:
        settings |= checked.init_from.in_settings()
    for group, values in groups.items():
        if not isinstance(values, dict):
            settings[group] = values
            continue
        for key, value in values.items():
            written = raw.get(group, {}).get(key)
            from_recipe = isinstance(written, str) and any(key in written for key in _OF_TASK)
            by_recipe = from_recipe and value != TUNED
            settings[f"{group}.{key}"] = "recipe" if by_recipe else value
    settings |= checked.dataset.drawn()
    if checked.dataset.samples and raw["dataset"].get("sampling_seed") == _BY_SEED:
        settings["dataset.sampling_seed"] = "seed"  # one row, whose seeds have shots of their own
    warmup = checked.scheduler.warmup_epochs
    tuned = settings["scheduler.warmup_epochs"] == TUNED
    if warmup != checked.dataset.recipe.warmup_epochs and not tuned:
        settings["scheduler.warmup_epochs"] = warmup  # shortened, or set by hand
    return settings
