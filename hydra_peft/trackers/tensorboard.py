"""TensorBoard: curves of each run, and a row of the HParams tab."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from hydra_peft.trackers._base import Session, Start, Tracker

if TYPE_CHECKING:
    from hydra_peft.runs.record import Record


@dataclass(frozen=True)
class TensorBoard(Tracker):
    """Event files in the run's folder ``tensorboard``."""

    name: ClassVar[str] = "tensorboard"
    package: ClassVar[str] = "tensorboard"
    extra: ClassVar[str] = "train"

    def begin(self, start: Start) -> Session:
        """Remove what an earlier, incomplete run left, or take it up.

        Of a run that goes on TensorBoard is told that what comes after the epochs done does not
        count.
        """
        return _Events(start)

    def ended(self, record: Record, folder: Path, known: str | None) -> None:  # noqa: ARG002
        """Write the end into a file of its own; see :mod:`hydra_peft.runs.hparams`."""
        from hydra_peft.runs import hparams

        hparams.write_end(record, folder)


class _Events(Session):
    def __init__(self, start: Start) -> None:
        from torch.utils.tensorboard.writer import SummaryWriter

        from hydra_peft.runs import hparams

        _hush()
        self._folder = start.folder
        place = start.folder / hparams.TENSORBOARD
        if not start.resumed:
            shutil.rmtree(place, ignore_errors=True)
        hparams.own_events(start.folder)
        hparams.forget_end(start.folder)
        purge = start.epochs_done + 1 if start.resumed else None
        self._writer: SummaryWriter = SummaryWriter(str(place), purge_step=purge)
        self._writer._get_file_writer().add_summary(hparams.beginning(start.record))
        self._writer.add_text("config", _as_code(start.config_yaml))
        self._writer.flush()  # on the disk at once, whatever becomes of the run

    def values(self, values: Mapping[str, float], epoch: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, epoch)

    def end(self, record: Record) -> None:
        from hydra_peft.runs import hparams

        self._writer.close()
        hparams.write_end(record, self._folder)


def _hush() -> None:
    """Keep TensorBoard's thread from printing a traceback where the disk fails it.

    The error comes again, to us, at the next thing that is written.
    """
    before = threading.excepthook
    if getattr(before, "hushes_tensorboard", False):
        return

    def hook(arguments: threading.ExceptHookArgs) -> None:
        ours = type(arguments.thread).__name__ == "_AsyncWriterThread"
        if not (ours and issubclass(arguments.exc_type, OSError)):
            before(arguments)

    hook.hushes_tensorboard = True  # type: ignore[attr-defined]
    threading.excepthook = hook


def _as_code(text: str) -> str:
    """Return ``text`` as a block of code in Markdown."""
    return "\n".join(f"    {line}" for line in text.splitlines())


TRACKER = TensorBoard
