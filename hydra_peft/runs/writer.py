"""Writers of a running run: log, metrics, trackers, progress bar."""

from __future__ import annotations

import csv
import dataclasses
import io
import logging
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from hydra_peft.files import open_anew, open_to_append
from hydra_peft.metrics import value_text
from hydra_peft.runs.bar import ProgressBar
from hydra_peft.runs.folder import LOG, METRICS
from hydra_peft.runs.ledger import NotOurs
from hydra_peft.runs.tracking import Tracking
from hydra_peft.training.progress import EpochRecord

log = logging.getLogger("hydra_peft")

#: what trackers are told of an epoch
_TRACKED = ("loss", "train_accuracy", "lr", "images_per_second")


class _QuietHandler(logging.StreamHandler[io.TextIOWrapper]):
    """On a full disk the run ends with that error; logging does not print its own beside it."""

    def close(self) -> None:
        super().close()
        self.stream.close()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802
        return


class RunWriter:
    """Writes a run's ``train.log`` and ``metrics.csv``; tells its trackers; shows a progress bar.

    A context manager. On entry what an earlier, incomplete run left of these files is removed, or
    with ``done`` steps taken up: the log is appended to, ``metrics.csv`` rewritten from ``epochs``.
    The bar is shown only on a terminal.

    Args:
        folder: the run's folder.
        title: what the progress bar says.
        of: what the run's examples are, such as ``images``.
        steps: number of training steps in all.
        done: how many were done before the run was interrupted.
        epochs: the epochs that were.
        tracking: of the run; begun and ended by who does the run.
    """

    def __init__(
        self,
        folder: Path,
        title: str,
        steps: int,
        *,
        of: str = "images",
        done: int = 0,
        epochs: Sequence[EpochRecord] = (),
        tracking: Tracking | None = None,
    ) -> None:
        self.folder = folder
        self.title = title
        self.steps = steps
        self.of = of
        self.done = done
        self.epochs = list(epochs)
        self.tracking = tracking or Tracking()

    def __enter__(self) -> RunWriter:
        if self.done == 0:
            (self.folder / LOG).unlink(missing_ok=True)
        self._handler = _QuietHandler(_as_text(open_to_append(self.folder / LOG)))
        self._handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        if threading.current_thread() is not threading.main_thread():
            # Others in this process do runs too, each in a thread of its own.
            own = threading.get_ident()
            self._handler.addFilter(lambda record: record.thread == own)
        log.addHandler(self._handler)
        log.setLevel(logging.INFO)  # whatever the root logger shows, the file has everything
        self._file = _as_text(open_anew(self.folder / METRICS))
        self._csv = csv.writer(self._file)
        self._csv.writerow([f.name for f in dataclasses.fields(EpochRecord)])
        self._csv.writerows(dataclasses.astuple(record) for record in self.epochs)
        self._file.flush()
        self._bar = ProgressBar(self.title, self.steps, of=self.of, done=self.done)
        return self

    def step(self) -> None:
        """Move the progress bar by one step."""
        self._bar.step()

    def epoch(self, record: EpochRecord, epochs: int) -> None:
        """Write one epoch to all files and show it beside the bar."""
        self._csv.writerow(dataclasses.astuple(record))
        self._file.flush()
        values = {f"train/{name}": getattr(record, name) for name in _TRACKED}
        known = {name: value for name, value in values.items() if value is not None}
        self.tracking.values(known, record.epoch)
        self._bar.epoch(record, epochs)
        hits = record.train_accuracy
        log.info(
            "epoch %d/%d loss %.4f%s lr %.3e %.0f %s/s",
            record.epoch,
            epochs,
            record.loss,
            "" if hits is None else f" train accuracy {hits:.2f}%",
            record.lr,
            record.images_per_second,
            self.of,
        )

    def score(self, split: str, values: Mapping[str, float], epoch: int) -> None:
        """Write each metric's value on ``split`` after ``epoch``."""
        self.tracking.values({f"{split}/{name}": v for name, v in values.items()}, epoch)
        for name, value in values.items():
            log.info("epoch %d %s %s %s", epoch, split, name, value_text(name, value))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.close()
        ours = kind is None or not issubclass(kind, NotOurs)
        if ours and kind is not None and issubclass(kind, Exception):
            log.error("the run ended with %s", kind.__name__, exc_info=error)
        log.removeHandler(self._handler)
        # On a full disk each of these fails; the error that ended the run is the one to see.
        for close in (self._handler.close, self._sync_metrics, self._file.close):
            try:
                close()
            except OSError:
                if kind is None:
                    raise

    def _sync_metrics(self) -> None:
        """Bring ``metrics.csv`` to the disk: a record that says completed comes after it."""
        self._file.flush()
        os.fsync(self._file.fileno())


def _as_text(file: BinaryIO) -> io.TextIOWrapper:
    return io.TextIOWrapper(file, encoding="utf-8", newline="")
