"""A table of all values of a run, one a line, for programs that read no event files."""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from hydra_peft.errors import UserError
from hydra_peft.files import content_of, open_anew
from hydra_peft.trackers._base import Session, Start, Tracker

if TYPE_CHECKING:
    from hydra_peft.runs.record import Record

FILE = "values.csv"
_COLUMNS = ("epoch", "name", "value")
#: of a file that a run goes on with
_MOST_BYTES = 2**28


@dataclass(frozen=True)
class Csv(Tracker):
    """``values.csv`` in the run's folder: ``epoch,name,value``, scores among them."""

    name: ClassVar[str] = "csv"

    def begin(self, start: Start) -> Session:
        """Write the file anew; of a run that goes on with the lines of the epochs done."""
        return _Lines(start)


class _Lines(Session):
    def __init__(self, start: Start) -> None:
        kept = _lines_until(start) if start.resumed else []
        self._file = io.TextIOWrapper(open_anew(start.folder / FILE), encoding="utf-8", newline="")
        self._csv = csv.writer(self._file)
        self._csv.writerows([_COLUMNS, *kept])
        self._file.flush()

    def values(self, values: Mapping[str, float], epoch: int) -> None:
        self._csv.writerows((epoch, name, repr(value)) for name, value in values.items())
        self._file.flush()

    def end(self, record: Record) -> None:
        from hydra_peft.runs.hparams import results

        if record.status == "completed":
            self.values(results(record), int(record.selection.get("epoch", 0)))
        self._file.close()


def _lines_until(start: Start) -> list[list[str]]:
    content = None
    with contextlib.suppress(UserError):  # what is no file of ours gives way
        content = content_of(start.folder / FILE, _MOST_BYTES)
    lines = csv.reader(io.StringIO((content or b"").decode(errors="replace")))
    return [
        line
        for line in lines
        if len(line) == 3 and line[0].isdecimal() and int(line[0]) <= start.epochs_done
    ]


TRACKER = Csv
