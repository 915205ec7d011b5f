"""The outcome of a run: its record, its folder, and whether it had been done before."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hydra_peft.config.schema import RunConfig
from hydra_peft.runs.assembly import data_sha256
from hydra_peft.runs.existing import decide
from hydra_peft.runs.record import Record


@dataclass(frozen=True)
class Outcome:
    """The outcome of a run.

    Attributes:
        record: as it was written at the end.
        folder: the run's folder.
        skipped: whether nothing was done, because the folder held the run already.
    """

    record: Record
    folder: Path
    skipped: bool = False


def existing_outcome(config: RunConfig, folder: Path) -> Outcome | None:
    """Return the outcome of the run in ``folder`` if it is to be taken as it is.

    Raises:
        UserError: see :func:`hydra_peft.runs.existing.decide`.
    """
    existing = decide(config, folder, lambda: data_sha256(config))
    if existing.record is None or not existing.stays:
        return None
    return Outcome(existing.record, folder, skipped=True)
