"""Words of a command line that change nothing in any of its runs: refused, since whoever types one
takes its runs for something else."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from hydra_peft.cli.idle_options import counts, counts_if
from hydra_peft.config.grid import used
from hydra_peft.config.identity import NOT_SCIENCE, science
from hydra_peft.config.plain import types
from hydra_peft.config.schema import RunConfig
from hydra_peft.data.sources import is_of_images
from hydra_peft.errors import UserError
from hydra_peft.plain_text import shortened
from hydra_peft.runs.starting import OF_FRESH, is_past

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
        "the data has its splits already, and none is split off",
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
    words = list(words)
    keys = [".".join(word.lstrip("+").partition("=")[0].split(".")[:2]) for word in words]
    for word, key in zip(words, keys, strict=True) if configs else ():
        if (rule := _rule(key, configs, keys)) is None:
            continue
        reason, acts = rule
        if not any(acts(config) for config in configs):
            runs = "this run" if len(configs) == 1 else "any of these runs"
            typed = shortened(word, 100)
            raise UserError(f"'{typed}' changes nothing in {runs}: {reason}, or leave it out.")


def _rule(
    key: str, configs: Sequence[RunConfig], typed: Collection[str]
) -> tuple[str, Callable[[RunConfig], bool]] | None:
    """Return what makes ``key`` act, and whether a run has it; None where it always acts."""
    if all(_is_chosen(key, config) for config in configs):
        is_all = any(used(config).keys() == {key} for config in configs)
        how = "set protocol.tune=false" if is_all else f"add protocol.grid.{key}=null"
        return f"tuning chooses it: {how} to set it", lambda _: False
    if key == "protocol.trial_epochs" and all(map(_chooses_epochs, configs)):
        reason = "trials train what protocol.grid has: add protocol.grid.train.epochs=null"
        return reason, lambda _: False
    if key == "dataset.split_seed" and any(config.dataset.samples for config in configs):
        return "its shots are drawn with dataset.sampling_seed, set that", _counts(key)
    if key in _NEEDS:
        return _NEEDS[key]
    if key in OF_FRESH and all(map(is_past, configs)):
        reason = "the adapter that init_from names has its values already: take init_from out"
        return reason, lambda _: False
    if key.startswith("method."):
        option = key.partition(".")[2]
        reason = counts_if(configs[0].method, option, typed)
        return reason, lambda config: counts(config.method, option)
    return (_ACTS[key], _counts(key)) if key in _ACTS else None


def _is_chosen(key: str, config: RunConfig) -> bool:
    """Whether tuning chooses what stands under ``key``, and nothing else goes by it."""
    # A warm-up that is the recipe's is shortened for as many epochs as were typed.
    return config.protocol.tune and key in used(config) and key != "train.epochs"


def _chooses_epochs(config: RunConfig) -> bool:
    return config.protocol.tune and "train.epochs" in used(config)


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
