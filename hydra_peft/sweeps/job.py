"""One job of a sweep, its checked config, and its end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hydra_peft.config.schema import RunConfig

#: statuses of a :class:`JobEnd`: those a run ends with; ``skipped``: not started, for what its
#: record says; ``claimed``: somebody else is doing it now
ENDS = ("completed", "failed", "interrupted", "diverged", "skipped", "claimed")


@dataclass(frozen=True)
class Job:
    """One composed job.

    Attributes:
        overrides: as typed for this job, ``dataset=mini/digits``.
        config: the composed config as json, interpolations unresolved.
    """

    overrides: tuple[str, ...]
    config: str

    @property
    def name(self) -> str:
        """The overrides in one line."""
        return " ".join(self.overrides) or "defaults"


@dataclass(frozen=True)
class Composition:
    """A job of a sweep, composed and checked.

    Attributes:
        job: its overrides and its composed config.
        config: the typed config; None where it cannot be.
        reason: why not, in one sentence.
    """

    job: Job
    config: RunConfig | None
    reason: str | None = None


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
    """What became of a job.

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
