"""Jobs of a sweep that start from runs which others of its jobs do first: they come afterwards."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence

from hydra_peft.config.schema import RunConfig
from hydra_peft.sweeps.job import Composition


def waiting(found: Sequence[Composition]) -> list[Composition]:
    """Return those of ``found`` that start from the run of a task, named as ``task:<name>``, which
    another one of them still has to do.

    A run of that task that is complete may have other settings: each job waits for the run of its
    own, where that is among the jobs.
    """
    starting = [one for one in found if one.starts_from]
    sources = {one.starts_from: _of_task(one.starts_from, found) for one in starting}
    return [one for one in starting if _waits(one, sources[one.starts_from])]


def settled(found: Sequence[Composition], earlier: Collection[str]) -> list[Composition]:
    """Return ``found`` with the jobs of an ``earlier`` stage, by name, as done: what was asked for
    on complete and failed runs has been done about them."""
    return [
        _settled(one, one.config) if one.config and one.job.name in earlier else one
        for one in found
    ]


def _settled(one: Composition, config: RunConfig) -> Composition:
    sweep = dataclasses.replace(config.sweep, on_existing="skip", retry="none")
    new = Composition.of(one.job.overrides, dataclasses.replace(config, sweep=sweep))
    return dataclasses.replace(new, starts_from=one.starts_from)


def _of_task(task: str, found: Sequence[Composition]) -> list[RunConfig]:
    """Return the jobs of ``task``, nothing left open that the device decides."""
    jobs = [one for one in found if one.config and _task(one.config) == task]
    if not jobs:
        return []
    from hydra_peft.cli.composing import on_devices  # loads torch

    return [one.config for one in on_devices(jobs) if one.config]


def _waits(one: Composition, sources: Sequence[RunConfig]) -> bool:
    if one.config is None or not sources:
        return bool(sources)
    from hydra_peft.runs.on_device import on_device
    from hydra_peft.runs.starting import waits_for

    return waits_for(on_device(one.config), one.starts_from, sources)


def _task(config: RunConfig) -> str:
    return f"{config.dataset.benchmark}/{config.dataset.name}"
