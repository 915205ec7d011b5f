"""Reading of ``metrics.csv``: values of each epoch of a run, and gaps in the file."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra_peft.errors import UserError
from hydra_peft.files import content_of
from hydra_peft.finite import decimal_number, whole_number
from hydra_peft.plain_text import counted, quoted, shortened
from hydra_peft.runs.folder import METRICS
from hydra_peft.runs.record import Record

#: a line has some 80 bytes: no file of ours comes near it
MAX_BYTES = 16 * 2**20
_COLUMNS = ("epoch", "loss", "train_accuracy")
_HEAD = f"{','.join(_COLUMNS)}\n".encode()
#: a mean of float32 losses that is finite and not 0 has a size between these
_SIZES = (1e-60, 1e39)
#: kinds of tasks whose losses, cross-entropies and squares, are not below 0
_NOT_NEGATIVE = ("classification", "multilabel", "regression")
#: characters of what is said of a value that is none
_SAID = 80
#: no run has more
_MOST_EPOCHS = 10**9


@dataclass(frozen=True)
class History:
    """Training by epoch.

    Attributes:
        epochs: number from 1, ascending, to mean training loss and training accuracy in percent.
            The loss is no finite number at most in a run that did not complete, the accuracy where
            the task has none. Lines that no training writes are not among them.
        faults: a sentence that names the file, such lines, and what it lacks; "" for a whole one.
    """

    epochs: dict[int, tuple[float, float]]
    faults: str


def read_history(folder: Path, record: Record | None = None) -> History | None:
    """Read the epochs of the run in ``folder``; None where no epoch had ended, as far as known.

    Args:
        folder: the run's.
        record: the run's, which says how many epochs there are once it is complete, and how the
            last one ended; None where that is not known.

    Raises:
        UserError: the file is not readable, too large, or no line of it is of an epoch.
    """
    path = folder / METRICS
    found = content_of(path, MAX_BYTES)
    content = found or _HEAD  # one that is gone or emptied lacks what one of a head alone lacks
    head, *lines = content.decode("utf-8-sig", "replace").split("\n")
    torn = bool((lines or [head]).pop().strip())  # what follows the last newline is half written
    names = head.strip().split(",")
    if any(names.count(name) != 1 for name in _COLUMNS):
        raise UserError(f"{path} is damaged: its curves are not shown.")
    epochs: dict[int, tuple[float, float]] = {}
    odd: list[str] = []
    last = 0
    for number, line in enumerate(lines, 2):
        try:
            epoch, loss, accuracy = _row(line.strip().split(","), names)
            _check_possible(epoch, loss, accuracy, last, record)
        except ValueError as error:
            odd.append(f"line {number} ({error})")
        else:
            epochs[last := epoch] = (loss, accuracy)
    if odd and not epochs:
        raise UserError(f"{path} is damaged: its curves are not shown.")
    faults = [f"{odd[0]} is passed over"] if len(odd) == 1 else []
    if len(odd) > 1:
        faults = [f"{len(odd)} lines are passed over, the first is {odd[0]}"]
    if record is not None and record.status == "completed":
        faults += ["it ends within a line"] if torn else []
        faults += _missing(epochs, record)
    if not epochs and not faults:
        return None
    said = "is not there" if found is None else "is not whole"
    return History(epochs, f"{path} {said}: {'; '.join(faults)}." if faults else "")


def _row(values: Sequence[str], names: Sequence[str]) -> tuple[int, float, float]:
    if len(values) != len(names):
        raise ValueError(f"{len(values)} values, {len(names)} columns")
    found = dict(zip(names, values, strict=True))
    try:
        accuracy = decimal_number(found["train_accuracy"] or "nan")
        return whole_number(found["epoch"]), decimal_number(found["loss"]), accuracy
    except ValueError as error:
        raise ValueError(shortened(str(error), _SAID)) from None


def _check_possible(
    epoch: int, loss: float, accuracy: float, last: int, record: Record | None
) -> None:
    """Check that training may have written such a line.

    Args:
        last: the epoch of the line before.
        record: of the run; None where that is not known.

    Raises:
        ValueError: it cannot have.
    """
    ended = record is not None and record.status == "completed"
    most = _count(record, _MOST_EPOCHS) if record is not None and ended else _MOST_EPOCHS
    if epoch <= last:
        raise ValueError(f"epoch {quoted(epoch, str)} after {last}")
    if epoch > most:
        raise ValueError(f"epoch {quoted(epoch, str)} of {most}")
    # Where a loss is no finite number, training ends as diverged.
    usual = not ended if not math.isfinite(loss) else _SIZES[0] < abs(loss) < _SIZES[1]
    negative = loss < 0 and record is not None and _kind(record) in _NOT_NEGATIVE
    if loss and (not usual or negative):
        raise ValueError(f"a loss of {loss:g}")
    if accuracy < 0 or accuracy > 100:
        raise ValueError(f"an accuracy of {accuracy:g}%")
    said = record.training.get("accuracy") if record is not None and ended else None
    if math.isnan(accuracy) and isinstance(said, float):
        raise ValueError("no accuracy")


def _kind(record: Record) -> str:
    dataset: Any = record.science.get("dataset")
    kind = dataset.get("kind") if isinstance(dataset, dict) else None
    return str(kind or "classification")  # which ids leave out


def _missing(epochs: Mapping[int, tuple[float, float]], record: Record) -> Iterator[str]:
    count = _count(record, -1)
    if count < 0:
        return
    there = len(epochs)
    if there < count:
        first = next(epoch for epoch in range(1, count + 1) if epoch not in epochs)
        absent = counted(count - there, f"of {count} epochs is", f"of {count} epochs are")
        yield f"{absent} missing, the first is {first}"
    pairs = zip(("a loss", "an accuracy"), epochs.get(count, ()), strict=False)
    for (name, value), key in zip(pairs, ("loss", "accuracy"), strict=False):
        said = record.training.get(key)
        if isinstance(said, float) and not math.isclose(value, said):
            yield f"it ends with {name} of {value:g}, and the record has {said:g}"


def _count(record: Record, unknown: int) -> int:
    """Return how many epochs ``record`` says that there are; ``unknown`` where it does not say."""
    train: Any = record.science.get("train")
    count = train.get("epochs") if isinstance(train, dict) else None
    return count if type(count) is int else unknown
