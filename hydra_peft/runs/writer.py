"""Writers of a running run: log, metrics, TensorBoard, progress bar."""

from __future__ import annotations

import csv
import dataclasses
import io
import logging
import os
import shutil
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO

from hydra_peft.files import open_anew, open_to_append
from hydra_peft.metrics import value_text
from hydra_peft.runs import hparams
from hydra_peft.runs.bar import ProgressBar
from hydra_peft.runs.folder import LOG, METRICS
from hydra_peft.runs.hparams import TENSORBOARD
from hydra_peft.runs.ledger import NotOurs
from hydra_peft.runs.record import Record
from hydra_peft.training.progress import EpochRecord

if TYPE_CHECKING:
    from torch.utils.tensorboard.writer import SummaryWriter

log = logging.getLogger("hydra_peft")


class _QuietHandler(logging.StreamHandler[io.TextIOWrapper]):
    """On a full disk the run ends with that error; logging does not print its own beside it."""

    def close(self) -> None:
        super().close()
        self.stream.close()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802
        return


def _hush_tensorboard() -> None:
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


class RunWriter:
    """Writes a run's ``train.log``, ``metrics.csv`` and ``tensorboard/``; shows a progress bar.

    A context manager. On entry what an earlier, incomplete run left of these files is removed, or
    with ``done`` steps taken up: the log is appended to, ``metrics.csv`` rewritten from ``epochs``,
    and TensorBoard told that what comes after them does not count. The bar is shown only on a
    terminal.

    Args:
        folder: the run's folder.
        title: what the progress bar says.
        steps: number of training steps in all.
        done: how many were done before the run was interrupted.
        epochs: the epochs that were.
    """

    def __init__(
        self,
        folder: Path,
        title: str,
        steps: int,
        *,
        done: int = 0,
        epochs: Sequence[EpochRecord] = (),
    ) -> None:
        self.folder = folder
        self.title = title
        self.steps = steps
        self.done = done
        self.epochs = list(epochs)

    def __enter__(self) -> RunWriter:
        from torch.utils.tensorboard.writer import SummaryWriter

        _hush_tensorboard()
        if self.done == 0:
            (self.folder / LOG).unlink(missing_ok=True)
            shutil.rmtree(self.folder / TENSORBOARD, ignore_errors=True)
        hparams.own_events(self.folder)
        hparams.forget_end(self.folder)
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
        self._tensorboard: SummaryWriter = SummaryWriter(
            str(self.folder / TENSORBOARD),
            purge_step=len(self.epochs) + 1 if self.done else None,
        )
        self._bar = ProgressBar(self.title, self.steps, done=self.done)
        return self

    def step(self) -> None:
        """Move the progress bar by one step."""
        self._bar.step()

    def epoch(self, record: EpochRecord, epochs: int) -> None:
        """Write one epoch to all files and show it beside the bar."""
        self._csv.writerow(dataclasses.astuple(record))
        self._file.flush()
        for name in ("loss", "train_accuracy", "lr", "images_per_second"):
            if (value := getattr(record, name)) is not None:
                self._tensorboard.add_scalar(f"train/{name}", value, record.epoch)
        self._bar.epoch(record, epochs)
        hits = record.train_accuracy
        log.info(
            "epoch %d/%d loss %.4f%s lr %.3e %.0f images/s",
            record.epoch,
            epochs,
            record.loss,
            "" if hits is None else f" train accuracy {hits:.2f}%",
            record.lr,
            record.images_per_second,
        )

    def score(self, split: str, values: Mapping[str, float], epoch: int) -> None:
        """Write each metric's value on ``split`` after ``epoch``."""
        for name, value in values.items():
            self._tensorboard.add_scalar(f"{split}/{name}", value, epoch)
            log.info("epoch %d %s %s %s", epoch, split, name, value_text(name, value))

    def begin(self, record: Record, config_yaml: str) -> None:
        """Tell TensorBoard which run this is; on the disk at once, whatever becomes of the run."""
        self._tensorboard._get_file_writer().add_summary(hparams.beginning(record))
        self._tensorboard.add_text("config", _as_code(config_yaml))
        self._tensorboard.flush()

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
        closing = [self._handler.close, self._sync_metrics, self._file.close]
        if ours:  # it would still write what is in its queue
            closing.append(self._tensorboard.close)
        # On a full disk each of these fails; the error that ended the run is the one to see.
        for close in closing:
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


def _as_code(text: str) -> str:
    """Return ``text`` as a block of code in Markdown."""
    return "\n".join(f"    {line}" for line in text.splitlines())
