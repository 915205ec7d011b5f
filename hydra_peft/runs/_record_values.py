"""Whether what a record holds is what a run writes, so that it can be computed with and shown.

Checked wherever a record is read, since anybody may have put it there.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from hydra_peft.finite import is_finite
from hydra_peft.metrics import find_metric, metric_names

if TYPE_CHECKING:
    from hydra_peft.runs.record import Record

#: values nested deeper, or more of anything, are not ours; a run's record has 200 values, and some
#: for each trial of its tuning
_MAX_DEPTH, _MAX_COUNT, _MAX_VALUES = 32, 10**15, 10_000
#: characters of a name, which tables and figures show
_MAX_NAME = 10_000
_MAPPINGS = (
    *("settings", "method", "science", "weights", "inputs", "data", "tuning", "parameters"),
    "init_from",
    *("scores", "selection", "counts", "training", "predictions", "outputs"),
    *("path", "times", "memory", "hardware", "versions", "code"),
)
_TEXTS = ("group", "primary", "adapter")
#: names of rows, columns and tables, never empty
_NAMES = ("config_id", "benchmark", "task", "model", "method_label", "protocol")
#: what tables and the report print of a run's machine, each a mapping of plain values
_FACTS = ("memory", "hardware", "versions")
#: what a completed run has
_RESULTS = {
    "selection": ("rule", "split"),
    "counts": ("scored",),
    "parameters": ("adapter", "head"),
}
_RULES = ("last", "best")


def wrong_values(record: Record) -> list[str]:
    """Return the names of what is of another type or out of its limits; status aside."""
    wrong = [name for name in _MAPPINGS if not isinstance(getattr(record, name), dict)]
    wrong += [name for name in _TEXTS if not _is_name(getattr(record, name))]
    wrong += [name for name in _NAMES if not _is_shown(getattr(record, name))]
    if isinstance(record.method, dict) and not _is_shown(record.method.get("name", "-")):
        wrong.append("method.name")
    if type(record.seed) is not int or not 0 <= record.seed < 2**32:
        wrong.append("seed")
    wrong += ["started"] if not _is_time(record.started) else []
    wrong += ["ended"] if not (record.ended is None or _is_time(record.ended)) else []
    if not isinstance(record.error, str | None):
        wrong.append("error")
    if not (isinstance(record.resumed, list) and all(map(_is_resumption, record.resumed))):
        wrong.append("resumed")
    if record.images_per_second is not None and not _is_measured(record.images_per_second):
        wrong.append("images_per_second")
    if isinstance(record.times, dict) and not all(map(_is_measured, record.times.values())):
        wrong.append("times")
    wrong += [name for name in _FACTS if not _are_facts(getattr(record, name))]
    if isinstance(record.data, dict):
        wrong += [f"data.{key}" for key in _wrong_data(record.data)]
    for name in ("predictions", "outputs"):
        values = getattr(record, name)
        if isinstance(values, dict) and not all(map(_is_text, values.values())):
            wrong.append(name)
    # The names of classes are looked at above: a task may have any number of them.
    parts = {**vars(record), "data": _without_classes(record.data)}
    wrong += [name for name, value in parts.items() if not _is_bounded(value)]
    if not {"scores", "selection", "counts", "training", "parameters"} & set(wrong):
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
    classes = data.get("classes")
    if classes is not None and not (isinstance(classes, list) and all(map(_is_text, classes))):
        yield "classes"
    for key, fits in (("splits", _is_text), ("counts", _is_count)):
        values = data.get(key, {})
        if not isinstance(values, dict) or not all(map(fits, values.values())):
            yield key


def missing_results(record: Record) -> list[str]:
    """Return the names of results that a completed run has and ``record`` lacks, sorted."""
    lacks = [
        f"{group}.{name}"
        for group, names in _RESULTS.items()
        for name in names
        if name not in getattr(record, group)
    ]
    return sorted([*lacks, *(["scores"] if record.score is None else [])])


def _wrong_results(record: Record) -> Iterator[str]:
    """Yield which results are no scores of their metrics, no rule, split and epoch, no counts.

    Those that are missing are not among them.
    """
    for split, values in record.scores.items():
        if not isinstance(values, dict):
            yield f"scores.{split}"
        else:
            wrong = [name for name, value in values.items() if not is_score(value, name)]
            yield from (f"scores.{split}.{name}" for name in wrong)
    selection, training = record.selection, record.training
    if selection.get("rule", "last") not in _RULES:
        yield "selection.rule"
    if not _is_text(selection.get("split", "")):
        yield "selection.split"
    numbers = ("epoch", "evaluations")
    yield from (f"selection.{n}" for n in numbers if not _is_count(selection.get(n, 0)))
    if not _is_amount(training.get("loss", 0)):
        yield "training.loss"
    # None where examples are not right or wrong.
    accuracy = training.get("accuracy")
    if accuracy is not None and not is_score(accuracy, "accuracy"):
        yield "training.accuracy"
    for group in ("counts", "parameters"):
        counts = getattr(record, group).items()
        yield from (f"{group}.{name}" for name, value in counts if not _is_count(value))


def is_score(value: Any, metric: str) -> bool:
    """Whether ``value`` is within the bounds of ``metric``; of one not known here, a number."""
    if not is_finite(value):
        return False
    if metric not in metric_names():
        return True
    found = find_metric(metric)
    return bool(found.least <= value <= found.most)


def _are_facts(found: object) -> bool:
    """Whether each value is a text, a count, yes or no, or unknown; of bytes also of what."""
    if not isinstance(found, dict):
        return True  # told already
    return all(
        value is None or isinstance(value, bool) or _is_text(value) or _is_count(value)
        for value in found.values()
    ) and ("bytes" not in found or (_is_count(found["bytes"]) and _is_name(found.get("of"))))


def _is_resumption(value: object) -> bool:
    counts = ("at_step", "epoch")
    return isinstance(value, dict) and all(_is_count(value.get(key, 0)) for key in counts)


def _is_time(value: object) -> bool:
    """Whether ``value`` is a time in ISO 8601 that says of which time zone: they are compared."""
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def _is_name(value: object) -> bool:
    return isinstance(value, str) and len(value) <= _MAX_NAME


def _is_shown(value: object) -> bool:
    """Whether ``value`` is a name that can be seen where it is printed."""
    return _is_name(value) and bool(str(value).strip())


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_amount(value: Any) -> bool:
    return is_finite(value) and value >= 0


def _is_measured(value: Any) -> bool:
    return _is_amount(value) and value <= _MAX_COUNT


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value <= _MAX_COUNT


def _without_classes(data: Any) -> Any:
    if not isinstance(data, dict):
        return data
    return {key: value for key, value in data.items() if key != "classes"}


def _is_bounded(value: Any) -> bool:
    """Whether so few values are in ``value``, so deep in each other, that a run may write them."""
    level, depth, count = [value] if isinstance(value, dict | list) else [], 0, 0
    while level and depth <= _MAX_DEPTH and count <= _MAX_VALUES:
        depth += 1
        count += sum(map(len, level))
        inside = [v.values() if isinstance(v, dict) else v for v in level]
        level = [v for values in inside for v in values if isinstance(v, dict | list)]
    return depth <= _MAX_DEPTH and count <= _MAX_VALUES
