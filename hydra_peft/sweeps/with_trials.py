"""Jobs of a sweep that is packed, each behind those trials of its search that are certain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hydra_peft.config.identity import config_id
from hydra_peft.config.schema import RunConfig
from hydra_peft.sweeps.job import Job


@dataclass(frozen=True)
class Taken:
    """A job, or a trial of one, that somebody does.

    Attributes:
        trial: the trial's config id; empty for a job.
        needs: config ids of the trials that have to end before.
    """

    job: Job
    trial: str = ""
    needs: frozenset[str] = frozenset()

    @property
    def is_trial(self) -> bool:
        """Whether this is a trial."""
        return bool(self.trial)


class WithTrials:
    """What is left to do of jobs and of the certain trials of their searches.

    A trial that several jobs share is there once. A job is ready when its trials have ended, with
    whatever result: its search reads their records.

    Args:
        jobs: with their checked configs, in the order in which they are to be done.
    """

    def __init__(self, jobs: Sequence[tuple[Job, RunConfig]]) -> None:
        from hydra_peft.runs.tuning import certain_trials  # here, since it loads torch

        self._left: list[Taken] = []
        self._open: set[str] = set()
        for job, config in jobs:
            trials = {config_id(one): one for one in certain_trials(config)}
            for trial in [one for one in trials if one not in self._open]:
                self._left.append(Taken(Job.of(job.overrides, trials[trial]), trial))
            self._open |= trials.keys()
            self._left.append(Taken(job, needs=frozenset(trials)))

    def __len__(self) -> int:
        return len(self._left)

    def any_ready(self) -> bool:
        """Whether there is something that can begin now."""
        return any(self._is_ready(one) for one in self._left)

    def take(self) -> Taken | None:
        """Take the first that is ready; None where there is none."""
        for one in self._left:
            if self._is_ready(one):
                self._left.remove(one)
                return one
        return None

    def ended(self, taken: Taken) -> None:
        """Say that ``taken`` came to an end."""
        self._open.discard(taken.trial)

    def _is_ready(self, one: Taken) -> bool:
        return not one.needs & self._open
