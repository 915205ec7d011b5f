"""Estimate of how long jobs will take, from the records of similar runs."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Any

from hydra_peft.config.grid import used
from hydra_peft.config.identity import science
from hydra_peft.config.preparation import prepared_config
from hydra_peft.config.schema import RunConfig
from hydra_peft.data.few_shots import count_of
from hydra_peft.errors import UserError
from hydra_peft.runs.environment import hardware
from hydra_peft.runs.folder import find_runs
from hydra_peft.runs.record import Record, read_record
from hydra_peft.runs.tuning import tries
from hydra_peft.sweeps.announced import MAX_SECONDS
from hydra_peft.sweeps.plan import PlannedJob
from hydra_peft.training.devices import resolve_device

#: runs that saw so many times fewer images than the longest tell no rate
_SHORT = 10
#: seen in all epochs: more than anybody trained on
_MAX_IMAGES = 10**15


def job_times(planned: Sequence[PlannedJob]) -> list[float | None]:
    """Estimate the seconds of each job; None if it is not started, or no run tells."""
    if not any(job.starts for job in planned):
        return [None] * len(planned)
    past = PastTimes({Path(job.config.paths.runs) for job in planned if job.config})
    return [past.seconds(job.config) if job.config and job.starts else None for job in planned]


class PastTimes:
    """Times of completed runs, of which those of others are estimated.

    Args:
        runs: folders of run folders; what cannot be read there is left out.
    """

    def __init__(self, runs: Iterable[Path]) -> None:
        self._alike: dict[Hashable, list[float]] = defaultdict(list)
        self._costs: dict[Hashable, list[tuple[int, float, float]]] = defaultdict(list)
        for folder in (folder for root in runs for folder in find_runs(root)):
            try:
                self._add(read_record(folder))
            except (UserError, KeyError, TypeError, OSError):
                continue

    def _add(self, record: Record) -> None:
        seconds = record.times.get("total", 0.0) / record.together
        # What a search before it took is not in a tuned run's time.
        if record.status != "completed" or not 0 < seconds < MAX_SECONDS or record.tuning:
            return
        machine = _machine(record.hardware)
        kind = (record.model, _size(record.science), record.method["name"], machine)
        epochs = record.science["train"]["epochs"]
        trained = record.science["protocol"]["train_split"]
        of_epoch = count_of(record.science["dataset"], trained)
        if type(epochs) is not int:
            return
        images = of_epoch * epochs
        if not 0 < images < _MAX_IMAGES:
            return
        training = record.times.get("train", math.nan) / record.together
        training = training if 0 < training <= seconds else seconds
        self._costs[kind].append((images, training / images, seconds - training))
        alike = (*kind, record.benchmark, record.task, epochs, of_epoch)
        self._alike[alike].append(seconds)

    def seconds(self, config: RunConfig) -> float | None:
        """Estimate the seconds of the run of ``config``; None if no run tells.

        The median of runs of the same model, task, number of training images, method, epochs and
        hardware; where there are none, of those of the same model, method and hardware: what they
        trained, per training image and epoch, and what they took beside it, to start and to score.
        """
        try:
            device = resolve_device(config.device)
        except UserError:
            return None  # of a node that is not this machine
        machine = _machine(hardware(device))
        kind = (config.model.name, _size(science(config)), config.method.name, machine)
        dataset = config.dataset
        sizes = {split: count_of(vars(dataset), split) for split in dataset.splits.labelled()}
        of_epoch = sizes[config.protocol.train_split]
        task = (dataset.benchmark, dataset.name, config.train.epochs, of_epoch)
        alike = self._alike.get((*kind, *task))
        if alike and not config.chooses:
            return median(alike)
        costs = self._costs.get(kind)
        if not costs:
            return None
        # The first steps of a process take longer, and of few images these are most.
        most = max(count for count, *_ in costs)
        long = [each for count, *each in costs if count * _SHORT >= most]
        of_image, beside = (median(values) for values in zip(*long, strict=True))
        seen, runs = _trained(config, sizes)
        return of_image * seen + beside * runs


def _trained(config: RunConfig, sizes: Mapping[str, int]) -> tuple[float, int]:
    """Return the training images, counted in each epoch, of a run and of those that choose for it,
    and the number of these runs.

    Args:
        sizes: of each split.
    """
    epochs, images = config.train.epochs, sizes[config.protocol.train_split]
    # One search for all seeds is counted with the seed that it has.
    shared = config.choosing_seed != config.seed
    if (prepared := prepared_config(config)) is not None:
        first = 0 if shared else sizes[prepared.protocol.train_split] * prepared.train.epochs
        return images * epochs + first, 2 - shared
    if not config.protocol.tune:
        return images * epochs, 1
    fit = config.dataset.splits.fit
    assert fit is not None, "checked where tuning is asked for"
    tried = 0 if shared else tries(config)
    # A search that chooses the epochs tries few and many; which it will choose is not known.
    chosen = used(config).get("train.epochs")
    usual = fmean(chosen or [epochs])
    each = usual if chosen else config.protocol.trial_epochs or usual
    return images * usual + sizes[fit] * tried * each, 1 + tried


def _size(decided: Mapping[str, Any]) -> str:
    """Return what a step of a model takes time by: its architecture, image size and arguments."""
    model = decided["model"]
    return json.dumps([model.get(k) for k in ("architecture", "image_size", "arguments")])


def _machine(found: dict[str, Any]) -> tuple[Any, Any]:
    device = found.get("device")
    return device, found.get("gpu" if device == "cuda" else "cpu")
