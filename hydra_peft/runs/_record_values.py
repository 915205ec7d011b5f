"""Whether what a record holds is what a run writes, so that it can be computed with and shown.

Checked wherever a record is read, since anybody may have put it there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from hydra_peft.finite import is_finite

if TYPE_CHECKING:
    from hydra_peft.runs.record import Record

#: values nested deeper, or more of anything, are not ours; a run's record has 200 values, and some
#: for each trial of its tuning
_MAX_DEPTH, _MAX_COUNT, _MAX_VALUES = 32, 10**15, 10_000
_MAPPINGS = (
    *("settings", "method", "science", "weights", "data", "tuning", "metrics", "parameters"),
    *("path", "times", "memory", "hardware", "versions", "code"),
)
_TEXTS = (
    *("config_id", "benchmark", "group", "task", "model", "method_label", "protocol"),
    "started",
)
#: what a completed run has
_METRICS = ("accuracy", "correct", "count", "split", "selection")
_PARAMETERS = ("adapter", "head")


def wrong_values(record: Record) -> list[str]:
    """Return the names of what is of another type or out of its limits; status aside."""
    wrong = [name for name in _MAPPINGS if not isinstance(getattr(record, name), dict)]
    wrong += [name for name in _TEXTS if not isinstance(getattr(record, name), str)]
    if type(record.seed) is not int or not 0 <= record.seed < 2**32:
        wrong.append("seed")
    wrong += [n for n in ("error", "ended") if not isinstance(getattr(record, n), str | None)]
    if not (isinstance(record.resumed, list) and all(map(_is_resumption, record.resumed))):
        wrong.append("resumed")
    if record.images_per_second is not None and not _is_amount(record.images_per_second):
        wrong.append("images_per_second")
    if isinstance(record.times, dict) and not all(map(_is_amount, record.times.values())):
        wrong.append("times")
    if isinstance(record.data, dict):
        wrong += [f"data.{key}" for key in _wrong_data(record.data)]
    wrong += [name for name, value in vars(record).items() if not _is_bounded(value)]
    if not {"metrics", "parameters"} & set(wrong):
        wrong += _wrong_results(record)
    return wrong


def _wrong_data(data: dict[str, Any]) -> Iterator[str]:
    """Yield which of what is said of the data is of another kind."""
    for key in ("sha256", "lineage"):
        if not isinstance(data.get(key, ""), str):
            yield key
    if not isinstance(data.get("partial", False), bool):
        yield "partial"
    if not isinstance(data.get("notes", []), list):
        yield "notes"
    for key, fits in (("splits", _is_text), ("counts", _is_count)):
        values = data.get(key, {})
        if not isinstance(values, dict) or not all(map(fits, values.values())):
            yield key


def missing_results(record: Record) -> list[str]:
    """Return the names of results that a completed run has and ``record`` lacks, sorted."""
    lacks = {*_METRICS} - record.metrics.keys()
    return sorted(lacks | ({*_PARAMETERS} - record.parameters.keys()))


def _wrong_results(record: Record) -> list[str]:
    """Return which results are not names of a split and of a rule, a score in percent, counts.

    Those that are missing are not among them.
    """
    metrics, parameters = record.metrics, record.parameters
    wrong = [n for n in ("split", "selection") if not isinstance(metrics.get(n, ""), str)]
    accuracy = metrics.get("accuracy", 0)
    # Less than zero: correlations are scores too.
    if not is_finite(accuracy) or not -100 <= accuracy <= 100:
        wrong.append("accuracy")
    trained = metrics.get("train_accuracy", 0)
    if not is_finite(trained) or not 0 <= trained <= 100:
        wrong.append("train_accuracy")
    if not _is_amount(metrics.get("train_loss", 0)):
        wrong.append("train_loss")
    wrong += [n for n in ("correct", "count", "epoch") if not _is_count(metrics.get(n, 0))]
    return wrong + [name for name, value in parameters.items() if not _is_count(value)]


def _is_resumption(value: object) -> bool:
    counts = ("at_step", "epoch")
    return isinstance(value, dict) and all(_is_count(value.get(key, 0)) for key in counts)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_amount(value: Any) -> bool:
    return is_finite(value) and value >= 0


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value <= _MAX_COUNT


def _is_bounded(value: Any) -> bool:
    """Whether so few values are in ``value``, so deep in each other, that a run may write them."""
    level, depth, count = [value] if isinstance(value, dict | list) else [], 0, 0
    while level and depth <= _MAX_DEPTH and count <= _MAX_VALUES:
        depth += 1
        count += sum(map(len, level))
        inside = [v.values() if isinstance(v, dict) else v for v in level]
        level = [v for values in inside for v in values if isinstance(v, dict | list)]
    return depth <= _MAX_DEPTH and count <= _MAX_VALUES
