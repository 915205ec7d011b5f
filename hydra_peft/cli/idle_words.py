"""Words of a command line that change nothing in any of its runs: refused, since whoever types one
takes its runs for something else."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from hydra_peft.config.identity import NOT_SCIENCE, science
from hydra_peft.config.plain import types
from hydra_peft.config.schema import RunConfig
from hydra_peft.data.sources import is_of_images
from hydra_peft.errors import UserError
from hydra_peft.plain_text import shortened

_TUNING = "it is of tuning, which protocol.tune=true asks for"
#: what makes keys act that a run's identity leaves out where they decide nothing
_ACTS = {
    "protocol.grid": _TUNING,
    "protocol.search": _TUNING,
    "protocol.trial_epochs": _TUNING,
    "protocol.trial_selection": _TUNING,
    "protocol.tune_seed": _TUNING,
    "protocol.trials": f"{_TUNING}, of protocol.search=optuna",
    "dataset.split_seed": "it is of drawing, which dataset.train_size or dataset.shots ask for",
    "dataset.sampling_seed": "it is of drawing, which dataset.shots asks for",
}
#: the same of others, with whether a run has it
_NEEDS: dict[str, tuple[str, Callable[[RunConfig], bool]]] = {
    "scheduler.warmup_lr": (
        "a warm-up begins with it, and this one has no steps (scheduler.warmup_epochs)",
        lambda config: bool(config.scheduler.warmup_epochs or config.scheduler.warmup_ratio),
    ),
    "data.max_length": (
        "it is of texts, and this data set has images",
        lambda config: not is_of_images(config.dataset.source),
    ),
    "model.tokenizer": (
        "it is of texts, and this data set has images",
        lambda config: not is_of_images(config.dataset.source),
    ),
    "dataset.prompts": (
        "a head that starts from texts reads it (head=text_prompts)",
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
        if key in _NEEDS:
            reason, acts = _NEEDS[key]
        elif key in _ACTS:
            reason, acts = _ACTS[key], _counts(key)
        else:
            continue
        if not any(acts(config) for config in configs):
            runs = "this run" if len(configs) == 1 else "any of these runs"
            raise UserError(
                f"'{shortened(word, 100)}' changes nothing in {runs}: {reason}; leave it out."
            )


def _counts(key: str) -> Callable[[RunConfig], bool]:
    group, _, name = key.partition(".")
    usual = {field.name: field.default for field in dataclasses.fields(types()[group])}[name]

    def acts(config: RunConfig) -> bool:
        value: Any = getattr(getattr(config, group), name)
        return value == usual or name in science(config)[group]

    assert name not in NOT_SCIENCE[group], "or no run would have it"
    return acts
