"""Progress of a run, from the end of its ``metrics.csv``."""

from __future__ import annotations

import os
import statistics
from dataclasses import dataclass
from pathlib import Path

from hydra_peft.errors import UserError
from hydra_peft.files import open_regular
from hydra_peft.finite import decimal_number, whole_number
from hydra_peft.runs.folder import METRICS

#: so many of the last epochs say how long the next will take
LATEST = 5
#: a line has some 80 bytes
_HEAD, _TAIL = 512, 4096


@dataclass(frozen=True)
class LastEpoch:
    """The last epoch that is complete.

    Attributes:
        epoch: its number, from 1.
        loss: its mean training loss.
        images_per_second: of training.
        seconds: what an epoch takes: the median of the last five.
    """

    epoch: int
    loss: float
    images_per_second: float
    seconds: float


def read_progress(folder: Path) -> LastEpoch | None:
    """Return the progress of the run in ``folder``, None where no epoch can be read.

    However long the file is, only its first and last few lines are read; a last line that is only
    half written and damaged lines are passed over.
    """
    path = folder / METRICS
    try:
        with open_regular(path) as file:
            header, newline, _ = file.read(_HEAD).partition(b"\n")
            end = file.seek(0, os.SEEK_END)
            begin = max(len(header) + len(newline), end - _TAIL)
            file.seek(begin)
            tail = file.read(_TAIL)
    except (OSError, UserError):
        return None
    columns = header.decode("utf-8-sig", "replace").strip().split(",")
    # What follows the last newline is still being written.
    lines = tail.decode(errors="replace").split("\n")[:-1]
    if begin > len(header) + len(newline):
        del lines[:1]  # begins somewhere in a line
    epochs = [epoch for line in lines if (epoch := _parsed(line, columns)) is not None]
    if not epochs:
        return None
    last = epochs[-1]
    seconds = statistics.median(epoch.seconds for epoch in epochs[-LATEST:])
    return LastEpoch(last.epoch, last.loss, last.images_per_second, seconds)


def _parsed(line: str, columns: list[str]) -> LastEpoch | None:
    values = line.strip().split(",")
    if len(values) != len(columns):
        return None
    row = dict(zip(columns, values, strict=True))
    try:
        return LastEpoch(
            epoch=whole_number(row["epoch"]),
            loss=decimal_number(row["loss"]),
            images_per_second=decimal_number(row["images_per_second"]),
            seconds=decimal_number(row["seconds"]),
        )
    except (KeyError, ValueError):
        return None
