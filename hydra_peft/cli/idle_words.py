"""Words of a command line that change nothing in any of its runs: refused, since whoever types one
takes its runs for something else."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from hydra_peft.cli.grid_words import without_added_plus
from hydra_peft.config.identity import NOT_SCIENCE, science
from hydra_peft.config.plain import types
from hydra_peft.config.schema import RunConfig
from hydra_peft.data.sources import is_of_images
from hydra_peft.errors import UserError
from hydra_peft.plain_text import shortened

_TUNING = "it is of tuning: add protocol.tune=true"
#: what makes keys act that a run's identity leaves out where they decide nothing
_ACTS = {
    "protocol.grid": _TUNING,
    "protocol.search": _TUNING,
    "protocol.trial_epochs": _TUNING,
    "protocol.trial_selection": _TUNING,
    "protocol.tune_seed": _TUNING,
    "protocol.trials": "it is of a search by Optuna: add protocol.tune=true protocol.search=optuna",
    "dataset.split_seed": "it is of drawing: add dataset.train_size=<n> or dataset.shots=<n>",
    "dataset.sampling_seed": "it is of drawing: add dataset.shots=<n>",
}
#: the same of others, with whether a run has it
_NEEDS: dict[str, tuple[str, Callable[[RunConfig], bool]]] = {
    "scheduler.warmup_lr": (
        "it is of a warm-up, and nothing has one: give train.epochs and scheduler.warmup_epochs",
        lambda config: _warms_up(config),
    ),
    "dataset.split": (
        "it has its splits already, and none is split off",
        lambda config: getattr(config.dataset.source_options, "split", None) is not None,
    ),
    "data.max_length": (
        "it is of texts, and this data set has images: choose another",
        lambda config: not is_of_images(config.dataset.source),
    ),
    "model.tokenizer": (
        "it is of texts, and this data set has images: choose another",
        lambda config: not is_of_images(config.dataset.source),
    ),
    "dataset.prompts": (
        "it is of a head that starts from texts: add head=text_prompts",
        lambda config: config.head.starts_from == "text",
    ),
}


def check_acting(words: Iterable[str], configs: Sequence[RunConfig]) -> None:
    """Check that each of ``words`` can change a run.

    Args:
        words: overrides as they were typed; what presets have is for whatever is chosen with them.
        configs: of the run, or of all jobs of a sweep that can work.

    Raises:
        UserError: one changes nothing in any of ``configs``.
    """
    for word in words if configs else ():
        key = ".".join(word.lstrip("+").partition("=")[0].split(".")[:2])
        if key == "dataset.split_seed" and any(config.dataset.samples for config in configs):
            reason, acts = "its shots are drawn with dataset.sampling_seed, set that", _counts(key)
        elif key in _NEEDS:
            reason, acts = _NEEDS[key]
        elif key in _ACTS:
            reason, acts = _ACTS[key], _counts(key)
        else:
            continue
        if not any(acts(config) for config in configs):
            runs = "this run" if len(configs) == 1 else "any of these runs"
            typed = shortened(without_added_plus(word), 100)
            raise UserError(f"'{typed}' changes nothing in {runs}: {reason}, or leave it out.")


def _warms_up(config: RunConfig) -> bool:
    scheduler = config.scheduler
    return bool(config.train.epochs and (scheduler.warmup_epochs or scheduler.warmup_ratio))


def _counts(key: str) -> Callable[[RunConfig], bool]:
    group, _, name = key.partition(".")
    usual = {field.name: field.default for field in dataclasses.fields(types()[group])}[name]

    def acts(config: RunConfig) -> bool:
        value: Any = getattr(getattr(config, group), name)
        return value == usual or name in science(config)[group]

    assert name not in NOT_SCIENCE[group], "or no run would have it"
    return acts
