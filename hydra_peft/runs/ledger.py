"""Ledger of one run: its record on disk, from the beginning to whatever end."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import time
import traceback
from pathlib import Path
from typing import Any

import torch

from hydra_peft.adaptation.storage import TENSORS
from hydra_peft.errors import RunFailed, UserError
from hydra_peft.files import MAX_JSON_BYTES, atomic_write, content_of, sha256_of
from hydra_peft.runs import environment
from hydra_peft.runs.claims import ClaimLost, Held
from hydra_peft.runs.config_file import CONFIG
from hydra_peft.runs.folder import PREDICTIONS_OF, WRITTEN, check_file_places
from hydra_peft.runs.record import FILE, TRACEBACK, Record, read_record, utc_now, write_record
from hydra_peft.runs.tracking import Tracking
from hydra_peft.training.progress import EpochRecord

log = logging.getLogger("hydra_peft")

_PHASES = ("prepare", "train_and_evaluate", "total")


class NotOurs(RunFailed):
    """The run's folder is no longer for this process to write into."""


class TakenOver(NotOurs):
    """Another process does the run: this one was held up for so long that it counted as dead."""


class Ledger:
    """A run's record, its clocks, and whether its folder may still be written to.

    Of several processes that do a run together only the first has a claim on the folder; in the
    others the ledger keeps the record in memory and writes nothing.

    Args:
        record: status ``running``.
        folder: the run's folder; made by :meth:`begin`.
        device: what computes.
        held: the claim on the folder; None in a process that writes nothing.
        since: when the run began to prepare, by ``time.perf_counter``.
        tracking: is told of the end, after the record.
    """

    def __init__(
        self,
        record: Record,
        folder: Path,
        device: torch.device,
        held: Held | None,
        since: float,
        tracking: Tracking | None = None,
    ) -> None:
        self.record = record
        self.folder = folder
        self.device = device
        self.held = held
        self.tracking = tracking or Tracking()
        self.begun = held is None  # then there is nothing to begin
        self.ended = False
        #: seconds by phase that the run took before it was interrupted
        self.earlier_times = dict.fromkeys(_PHASES, 0.0)
        #: version of the code that did the run before it was interrupted
        self.earlier_code: dict[str, object] = {}
        self._started = since
        self._prepared: float | None = None
        self._before: dict[str, bytes | None] = {}
        self._place: tuple[int, int] | None = None

    def update(self, **changes: object) -> None:
        """Change fields of the record, in memory."""
        self.record = dataclasses.replace(self.record, **changes)  # type: ignore[arg-type]

    def begin(self, config_yaml: str) -> None:
        """Make the folder and write config and record there: from now on every end leaves a trace.

        Raises:
            UserError: a folder has the name of one of its files.
            OSError: the disk is full or the folder not writable; nothing new is left then.
        """
        if self.held is None:
            return
        check_file_places(self.folder)
        self._before = {name: _content(self.folder / name) for name in (FILE, CONFIG)}
        try:
            self._tidy()
            atomic_write(self.folder / CONFIG, config_yaml.encode())
            write_record(self.record, self.folder)
        except BaseException:
            self.undo()
            raise
        self._place = _place(self.folder)
        self.begun = True

    def write(self) -> None:
        """Write the record as it is now.

        Raises:
            NotOurs: see :meth:`may_write`.
            OSError: the disk is full or the folder not writable.
        """
        if self.held is not None:
            self.may_write()
            write_record(self.record, self.folder)

    def undo(self) -> None:
        """Leave the folder as it was before :meth:`begin`: nothing was started after all."""
        if self.held is None:
            return
        try:
            for name, content in self._before.items():
                if content is None:
                    (self.folder / name).unlink(missing_ok=True)
                elif content != _content(self.folder / name):
                    atomic_write(self.folder / name, content)
            if self._before.get(FILE, b"") is None:
                for folder in (self.folder, *self.folder.parents[:2]):
                    folder.rmdir()  # of the run, the task, the benchmark: where nothing else is
        except OSError as error:
            log.debug("%s was not put back: %s", self.folder, error)
        if not self.folder.exists():
            self.held.withdraw()
        self.begun = False

    def prepared(self) -> None:
        """Take note that what comes now is training."""
        self._prepared = time.perf_counter()

    def times(self) -> dict[str, float]:
        """Return seconds by phase so far, those before interruptions included."""
        now = time.perf_counter()
        prepared = now if self._prepared is None else self._prepared
        spent = (prepared - self._started, now - prepared, now - self._started)
        return {
            phase: self.earlier_times[phase] + seconds
            for phase, seconds in zip(_PHASES, spent, strict=True)
        }

    def may_write(self) -> None:
        """Check that the folder is still that of this run, and this process the one that does it.

        Raises:
            NotOurs: it was removed, or (``TakenOver``) another process has taken the run over.
        """
        if self.is_gone():
            raise self.gone()
        try:
            if self.held is not None:
                self.held.check()
        except ClaimLost as error:
            raise TakenOver(str(error)) from error

    def is_gone(self) -> bool:
        """Whether the folder that :meth:`begin` made was removed."""
        begun = self.begun and self.held is not None
        return begun and (_place(self.folder) != self._place or not (self.folder / FILE).is_file())

    def gone(self) -> NotOurs:
        """Return the error that says so."""
        return NotOurs(
            f"{self.folder} was removed while the run was going on: type the command again to do "
            "it anew."
        )

    def finish(
        self,
        status: str,
        epochs: list[EpochRecord],
        *,
        results: dict[str, Any] | None = None,
        error: str | None = None,
        traceback: str | None = None,
    ) -> Record:
        """Write the record as it is at the end.

        Raises:
            NotOurs: see :meth:`may_write`.
            OSError: the disk is full or the folder not writable.
        """
        seconds = sum(epoch.seconds for epoch in epochs)
        images = sum(epoch.seconds * epoch.images_per_second for epoch in epochs)
        saved = self.folder / TENSORS
        if status == "completed" and self.held is not None and saved.is_file():
            self.update(adapter=sha256_of(saved))
        self.update(
            status=status,
            ended=max(utc_now(), self.record.started),  # a clock may have been set back since
            **(results or {}),
            times={**self.times(), "train": seconds},
            images_per_second=images / seconds if seconds else None,
            memory=environment.peak_memory(self.device),
            error=error,
            traceback=traceback,
        )
        self.write()
        self.ended = self.held is None
        if self.ended:
            return self.record
        if status == "completed" and not (self.folder / TENSORS).is_file():
            # Removed just now, and made again by writing: no record without its adapter.
            (self.folder / FILE).unlink(missing_ok=True)
            raise self.gone()
        self.ended = True
        self.tracking.end(self.record, self.folder)
        return self.record

    def finish_badly(self, status: str, epochs: list[EpochRecord], error: str) -> None:
        """Write how the run ended; if that fails too, the error at hand stands."""
        if self.held is None or not self.begun or self.ended or self._is_on_disk("completed"):
            return
        try:
            self.may_write()
            name = None
            if status == "failed":
                atomic_write(
                    self.folder / TRACEBACK,
                    traceback.format_exc().encode(errors="backslashreplace"),
                )
                name = TRACEBACK
            self.finish(status, epochs, error=error, traceback=name)
        except (OSError, NotOurs) as failure:
            log.error("the record of the %s run could not be written to %s", status, self.folder)
            if isinstance(failure, OSError):
                self.tracking.end(self.record, self.folder)

    def _is_on_disk(self, status: str) -> bool:
        """Whether the record ended so, though nobody took note: a signal came in between."""
        with contextlib.suppress(UserError):
            found = read_record(self.folder)
            return (found.status, found.started) == (status, self.record.started)
        return False

    def _tidy(self) -> None:
        """Remove what a process that was killed while it wrote left, and an earlier traceback."""
        for name in (*WRITTEN, PREDICTIONS_OF.format("*")):
            for temporary in self.folder.glob(f".{name}.*"):
                temporary.unlink(missing_ok=True)
        (self.folder / TRACEBACK).unlink(missing_ok=True)


def _content(path: Path) -> bytes | None:
    """Read one of the run's own files; None for other kinds of file, which are not restored."""
    with contextlib.suppress(UserError):
        return content_of(path, MAX_JSON_BYTES)
    return None


def _place(folder: Path) -> tuple[int, int] | None:
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
