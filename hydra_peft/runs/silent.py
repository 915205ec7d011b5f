"""What takes the place of a run's files in the processes that write none: all but the first."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hydra_peft.runs.checkpoints import Check, Checkpoints, Origin
from hydra_peft.runs.claims import Held
from hydra_peft.runs.ledger import Ledger
from hydra_peft.runs.record import Record
from hydra_peft.runs.writer import RunWriter
from hydra_peft.training.progress import EpochRecord


class SilentLedger(Ledger):
    """Keeps the record in memory alone."""

    def __init__(
        self,
        record: Record,
        folder: Path,
        device: torch.device,
        held: Held | None,
        since: float,
    ) -> None:
        super().__init__(record, folder, device, held, since)
        self.begun = True  # there is nothing to begin

    def begin(self, config_yaml: str) -> None:
        """Write nothing."""

    def write(self) -> None:
        """Write nothing."""

    def undo(self) -> None:
        """Nothing was written."""

    def may_write(self) -> None:
        """Nothing is written that another process could not want."""

    def is_gone(self) -> bool:
        """Whether the folder is there is the first process's to know."""
        return False

    def finish(
        self,
        status: str,
        epochs: list[EpochRecord],  # noqa: ARG002
        *,
        metrics: dict[str, object] | None = None,
        error: str | None = None,
        traceback: str | None = None,  # noqa: ARG002
    ) -> Record:
        """Return the record as it is at the end."""
        self.update(status=status, metrics=metrics or {}, error=error)
        self.ended = True
        return self.record

    def finish_badly(self, status: str, epochs: list[EpochRecord], error: str) -> None:
        """Write nothing."""


class SilentCheckpoints(Checkpoints):
    """Holds none: the first process reads and writes them for all."""

    def __init__(self, folder: Path, origin: Origin) -> None:  # noqa: ARG002
        return

    def write(self, step: int, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Write nothing."""

    def newest(
        self,
        check: Check,  # noqa: ARG002
        max_bytes: int,  # noqa: ARG002
    ) -> tuple[int, dict[str, Tensor], dict[str, Any]] | None:
        """Find none."""
        return None

    def exist(self) -> bool:
        """Whether there are any."""
        return False

    def remove(self) -> None:
        """Remove nothing."""


class SilentWriter(RunWriter):
    """Writes and shows nothing."""

    def __enter__(self) -> SilentWriter:
        return self

    def step(self) -> None:
        """Show nothing."""

    def epoch(self, record: EpochRecord, epochs: int) -> None:
        """Write nothing."""

    def score(self, split: str, accuracy: float, epoch: int) -> None:
        """Write nothing."""

    def begin(self, record: Record, config_yaml: str) -> None:
        """Write nothing."""

    def __exit__(self, *ending: object) -> None:
        return
