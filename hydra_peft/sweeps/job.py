"""One job of a sweep, its checked config, and its end."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from hydra_peft.config.plain import as_plain, from_plain
from hydra_peft.config.schema import RunConfig

#: statuses of a :class:`JobEnd`: those a run ends with; ``skipped``: not started, for what its
#: record says; ``claimed``: somebody else is doing it now
ENDS = ("completed", "failed", "interrupted", "diverged", "skipped", "claimed")


@dataclass(frozen=True)
class Job:
    """One composed job, as it crosses processes.

    Attributes:
        overrides: as typed for this job, ``dataset=mini/digits``.
        config: the checked config as json of plain values; empty where there is none.
    """

    overrides: tuple[str, ...]
    config: str = ""

    @classmethod
    def of(cls, overrides: Sequence[str], config: RunConfig) -> Job:
        """Return the job with the checked ``config``."""
        return cls(tuple(overrides), json.dumps(as_plain(config)))

    def run_config(self) -> RunConfig:
        """Return the typed config.

        Raises:
            UserError: a value is none that its group may have.
        """
        return from_plain(json.loads(self.config))

    @property
    def name(self) -> str:
        """The overrides in one line."""
        return " ".join(self.overrides) or "defaults"


@dataclass(frozen=True)
class Composition:
    """A job of a sweep, composed and checked.

    Attributes:
        job: its overrides and its config.
        config: the typed config; None where it cannot be.
        reason: why not, in one sentence.
        starts_from: benchmark and name of the task whose run it starts from, where that is named
            by its task; there is one already, or it has to be done before.
        alone: the typed config without that start; ``config`` itself where it has none of the kind.
    """

    job: Job
    config: RunConfig | None
    reason: str | None = None
    starts_from: str = ""
    alone: RunConfig | None = None

    @classmethod
    def of(cls, overrides: Sequence[str], config: RunConfig) -> Composition:
        """Return the job with the checked ``config``."""
        return cls(Job.of(overrides, config), config, alone=config)


@dataclass(frozen=True)
class ElsewhereRun:
    """A run that somebody else is doing.

    Attributes:
        runs: the folder of all runs, in which claims are kept.
        folder: the run's own.
        host: the machine it is done on, as far as is known.
    """

    runs: str
    folder: str
    host: str


@dataclass(frozen=True)
class JobEnd:
    """End of a job.

    Attributes:
        status: one of :data:`ENDS`.
        line: what is printed about it.
        metric: the run's accuracy in percent, where it has one.
        error: one sentence, where it did not complete.
        elsewhere: where the status is ``claimed``: the run that is to be waited for.
    """

    job: Job
    status: str
    line: str
    metric: float | None = None
    error: str | None = None
    elsewhere: ElsewhereRun | None = None


def interrupted(job: Job) -> JobEnd:
    """Return the end of a job that somebody stopped."""
    sentence = "interrupted; it goes on from its last checkpoint."
    return JobEnd(job, "interrupted", f"{job.name}: {sentence}", error=sentence)
