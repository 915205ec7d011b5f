"""Jobs of a sweep that start from runs which others of its jobs do: each comes after its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence

from hydra_peft.config.schema import InitFrom, RunConfig
from hydra_peft.sweeps.job import Composition


def staged(found: Sequence[Composition]) -> tuple[list[Composition], list[Composition]]:
    """Return those of ``found`` that can begin now, and those that wait for others of them.

    A job that names its start by a task (``init_from=task:<name>``) starts from the run which that
    one of the jobs does whose settings are its own, or nearest to them, whatever other runs of that
    task there are.
    """
    stages = _Stages(found)
    begun = [(one, stages.begun(one)) for one in found]
    ready = [job for _, job in begun if job is not None]
    return ready, [one for one, job in begun if job is None]


class _Stages:
    """The jobs of a sweep, and what each starts from."""

    def __init__(self, found: Sequence[Composition]) -> None:
        self._by_task: dict[str, list[Composition]] = {}
        for one in found:
            if one.alone is not None:
                self._by_task.setdefault(_task(one.alone), []).append(one)
        self._begun: dict[int, Composition | None] = {}

    def begun(self, one: Composition) -> Composition | None:
        """Return a job with its start, or None where that is still to be done."""
        if id(one) not in self._begun:
            self._begun[id(one)] = None  # what starts from itself waits for ever
            self._begun[id(one)] = self._with_start(one)
        return self._begun[id(one)]

    def _with_start(self, one: Composition) -> Composition | None:
        sources = self._by_task.get(one.starts_from, [])
        if not sources or one.alone is None:
            return one
        from hydra_peft.runs.on_device import on_device  # loads torch
        from hydra_peft.runs.starting import nearest_of

        config = on_device(one.alone)
        of_sources = [on_device(source.alone) for source in sources if source.alone]
        nearest = [sources[place] for place in nearest_of(config, of_sources)]
        # Of equals one that has no start of its own, whichever was typed first.
        starts = [(bool(source.starts_from), self._start(source)) for source in nearest]
        done = [(started, start.config_id, start) for started, start in starts if start]
        if len(done) < len(starts):
            return None
        return _starting_from(one, one.alone, min(done)[-1]) if done else one

    def _start(self, source: Composition) -> InitFrom | None:
        """Return the start that a job's run is, None where it is still to be done."""
        from hydra_peft.runs.on_device import on_device
        from hydra_peft.runs.starting import start_done

        begun = self.begun(source)
        if begun is None or begun.config is None or begun.config.sweep.on_existing == "rerun":
            return None
        return start_done(on_device(begun.config))


def broken(found: Sequence[Composition]) -> list[Composition]:
    """Return the jobs that cannot work, what others start from before these."""
    none = [one for one in found if one.config is None]
    return sorted(none, key=lambda one: bool(one.starts_from))


def _starting_from(one: Composition, alone: RunConfig, start: InitFrom) -> Composition:
    settings = alone.settings
    if "init_from" not in settings:  # which says that the recipe names it
        settings = settings | start.in_settings()
    config = dataclasses.replace(alone, init_from=start, settings=settings)
    job = Composition.of(one.job.overrides, config).job
    return dataclasses.replace(one, config=config, job=job)


def why_left(one: Composition) -> str:
    """Return why a job that waited is not begun."""
    return (
        f"{one.job.name}: it starts from the run of {one.starts_from} with its own settings, which "
        "is not complete: do that one first, or name another one's folder as init_from."
    )


def settled(found: Sequence[Composition], earlier: Collection[str]) -> list[Composition]:
    """Return ``found`` with the jobs of an ``earlier`` stage, by name, as done: what was asked for
    on complete and failed runs has been done about them."""
    return [_settled(one) if one.job.name in earlier else one for one in found]


def _settled(one: Composition) -> Composition:
    def once(config: RunConfig | None) -> RunConfig | None:
        if config is None:
            return None
        sweep = dataclasses.replace(config.sweep, on_existing="skip", retry="none")
        return dataclasses.replace(config, sweep=sweep)

    config = once(one.config)
    job = Composition.of(one.job.overrides, config).job if config else one.job
    return dataclasses.replace(one, job=job, config=config, alone=once(one.alone))


def _task(config: RunConfig) -> str:
    return f"{config.dataset.benchmark}/{config.dataset.name}"
