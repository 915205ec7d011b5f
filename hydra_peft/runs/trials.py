"""Runs that choose for another one: their configs, their folders, and which of them are taken."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra_peft.config.grid import Choice, choices
from hydra_peft.config.identity import TUNED, config_id, science
from hydra_peft.config.preparation import TRIAL, on_held_out, prepared_config
from hydra_peft.config.schema import RunConfig
from hydra_peft.errors import UserError
from hydra_peft.runs._science import values_of
from hydra_peft.runs.assembly import data_sha256, load_backbone
from hydra_peft.runs.existing import folder_of, found_folder
from hydra_peft.runs.folder import TUNING, completed_record, runs_of_task
from hydra_peft.runs.record import Record, read_record

if TYPE_CHECKING:
    from hydra_peft.backbones.backbones import Weights


def preparation_run(config: RunConfig) -> RunConfig | None:
    """Return the run that the method of ``config`` trains first; None where it has none."""
    prepared = prepared_config(config)
    return None if prepared is None else dataclasses.replace(prepared, **_apart(config))


def candidate(config: RunConfig, choice: Choice) -> RunConfig:
    """Return the run of the search that tries ``choice`` for ``config``."""
    asked = config.protocol
    protocol = on_held_out(config, TRIAL, asked.trial_selection)
    return choice.apply(
        config,
        epochs=asked.trial_epochs,
        seed=config.choosing_seed,
        protocol=protocol,
        settings={**config.settings, **choice.values},  # by which tables tell trials apart
        **_apart(config),
    )


def _apart(config: RunConfig) -> dict[str, Any]:
    """Return where runs that choose for ``config`` go, and what is done about existing ones."""
    # A search that is asked for twice goes on; only a plain run can be an error to repeat.
    on_existing = "rerun" if config.sweep.on_existing == "rerun" else "skip"
    return {
        "paths": dataclasses.replace(config.paths, runs=str(Path(config.paths.runs) / TUNING)),
        "sweep": dataclasses.replace(config.sweep, on_existing=on_existing),
    }


def trials_begun(config: RunConfig) -> Iterator[tuple[Path, Record]]:
    """Yield folder and record of each run that the search of ``config`` does or may draw.

    On whatever weights; none where nothing is chosen.
    """
    if not config.chooses:
        return
    dataset = config.dataset
    tuning, is_trial = Path(config.paths.runs) / TUNING, _trials_of(config)
    for folder in runs_of_task(
        tuning, benchmark=dataset.benchmark, task=dataset.name, seed=config.choosing_seed
    ):
        with contextlib.suppress(UserError):
            record = read_record(folder)
            if is_trial(record):
                yield folder, record


def _trials_of(config: RunConfig) -> Callable[[Record], bool]:
    """Return what says of a record whether it differs from the trials of ``config`` in what tuning
    chooses alone."""
    if (prepared := preparation_run(config)) is not None:
        ids = {config_id(prepared)}
    elif config.protocol.search == "grid":
        ids = {config_id(candidate(config, one)) for one in choices(config)}
    else:
        asked = science(config)
        first = _fixed(science(candidate(config, choices(config)[0])), asked)
        return lambda record: _fixed(record.science, asked) == first
    return lambda record: record.config_id in ids


def _fixed(trial: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    """Return the science of a trial without the keys that the one ``asked`` leaves to tuning."""
    return {
        group: {k: v for k, v in values.items() if values_of(asked, group).get(k) != TUNED}
        if isinstance(values, dict)
        else values
        for group, values in trial.items()
    }


def weights_by_seed(config: RunConfig) -> Callable[[int], Weights]:
    """Return what gives the weights of runs of the model of ``config``, by their seed."""
    return functools.cache(lambda seed: load_backbone(config.model, seed)[1])


def not_twice(
    trial: RunConfig,
    config: RunConfig,
    weights_at: Callable[[int], Weights] | None = None,
    data_of: Callable[[RunConfig], str] = data_sha256,
) -> RunConfig:
    """Return ``trial`` as it is to be asked for, where ``config`` asks for everything again.

    A rerun replaces a completed run and what that was chosen by. What has been done since that run
    ended, a rerun that was interrupted has done, and this one goes on with it; where no run
    completed, there is none to replace. What was done on other data is done again at any rate.

    Args:
        weights_at: see :func:`weights_by_seed`, which gives it by default.
        data_of: gives the hash of the data of now.
    """
    if trial.sweep.on_existing != "rerun":
        return trial
    weights_at = weights_at or weights_by_seed(config)
    done = completed_record(folder_of(trial, weights_at(trial.seed)))
    before = completed_record(found_folder(config, weights_at(config.seed)))
    if done is None or (before is not None and done.begun <= _end(before)):
        return trial
    if done.data.get("sha256") != data_of(trial):
        return trial
    return dataclasses.replace(trial, sweep=dataclasses.replace(trial.sweep, on_existing="skip"))


def _end(record: Record) -> datetime:
    return datetime.fromisoformat(record.ended or record.started)
