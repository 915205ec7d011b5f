"""Whether what a completed run's record says agrees with itself, as far as it can be recomputed.

A score is counts, an id is a hash, and much stands in two places. This finds what was edited by
hand or put together from two runs; who forges a record as a whole is not found.
"""

from __future__ import annotations

import dataclasses
import json
import math
import operator
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from hydra_peft.config.grid import shortened_keys
from hydra_peft.config.identity import TUNED, short_hash
from hydra_peft.config.tunable import flattened
from hydra_peft.data.split_roles import role_of
from hydra_peft.errors import UserError
from hydra_peft.finite import is_finite
from hydra_peft.methods import build_method, method_class
from hydra_peft.metrics import find_metric, metric_names
from hydra_peft.plain_text import shortened

if TYPE_CHECKING:
    from hydra_peft.runs.record import Record

#: so many are told
_MOST = 3
#: characters of a value
_SHOWN = 60
#: of a score in percent; one is computed from counts without any rounding of ours
_TOLERANCE = 1e-6
#: seconds by which sums of measured times may differ
_CLOCKS = 1.0
#: by which a machine's clock may be set back while it trains
_CLOCK_SET = timedelta(minutes=1)
_MISSING = object()


def contradictions(record: Record) -> str:
    """Return in words where a completed record does not agree with itself, "" where it does.

    Its values have been checked alone (:func:`hydra_peft.runs._record_values.wrong_values`).
    """
    parts = (_of_score, _of_further, _of_counts, _of_data, _of_times, _of_science, _tuned)
    return _told([text for part in parts for text in part(record)])


def config_contradictions(record: Record, config: Mapping[str, Any]) -> str:
    """Return in words where a run's ``config.yaml`` and its record differ, "" where they do not.

    Args:
        record: the run's.
        config: the file's plain values. What records do not hash (paths, device) is not compared.
    """
    found = []
    name = _at(config, "model", "name")
    if name not in (_MISSING, record.model):
        found.append(f"model.name is {name!r} there and {record.model!r} in the record")
    for group, recorded in record.science.items():
        given = config.get(group, _MISSING)
        if group == "method":
            given = _method(json.dumps(given)) if isinstance(given, Mapping) else given
        if group == "protocol" and isinstance(given, Mapping):
            given = {k: _grid(value) if k == "grid" else value for k, value in given.items()}
        if isinstance(recorded, Mapping) and isinstance(given, Mapping):
            pairs = {f"{group}.{k}": (v, given[k]) for k, v in recorded.items() if k in given}
        else:
            pairs = {} if given is _MISSING else {group: (recorded, given)}
        for key, (expected, value) in pairs.items():
            if expected == TUNED:
                expected = record.tuning.get("chosen", {}).get(key, value)
            if key == "dataset.splits" and isinstance(value, dict) and isinstance(expected, dict):
                # Roles that no split plays need not stand in a yaml.
                expected = {role: name for role, name in expected.items() if role in value or name}
            for part, there, here in _unlike(key, value, expected, lambda a, b: _same(b, a)):
                found.append(f"{part} is {there} there and {here} in the record")
    return _told(found)


def _told(found: list[str]) -> str:
    more = f"; {len(found) - _MOST} more" if len(found) > _MOST else ""
    return "; ".join(shortened(text, 200) for text in found[:_MOST]) + more


def _of_score(record: Record) -> Iterator[str]:
    count, correct = record.counts["scored"], record.counts.get("correct")
    if not count > 0 or (correct or 0) > count:
        yield f"{correct} of {count} images correct"
    elif (accuracy := record.scores.get(record.split, {}).get("accuracy")) is not None:
        if record.primary != "accuracy":  # then nobody wrote how many were right
            correct = round(accuracy * count / 100)
        elif correct is None:
            yield f"accuracy is {accuracy:.8g}, and nothing says how many of {count} were correct"
            return
        counted = 100.0 * correct / count
        if not math.isclose(accuracy, counted, rel_tol=0, abs_tol=_TOLERANCE):
            yield f"accuracy is {accuracy:.8g}, and {correct} of {count} correct are {counted:.8g}"
    epochs, epoch = _at(record.science, "train", "epochs"), record.selection.get("epoch", _MISSING)
    last = record.selection["rule"] == "last"
    numbers = isinstance(epochs, int) and isinstance(epoch, int)
    if numbers and (not 1 <= epoch <= epochs or (last and epoch != epochs)):
        yield f"the score is of epoch {epoch} of {epochs}, by the rule '{record.rule}'"


def _of_further(record: Record) -> Iterator[str]:
    """Compare the scores beside the one that counts with how many images their splits have."""
    for split, values in record.scores.items():
        count = record.data.get("counts", {}).get(split)
        if split == record.split:
            continue
        if values.keys() != record.scores[record.split].keys():
            yield f"{split} is scored by other metrics than {record.split}"
        elif count is None:
            yield f"{split} has scores, and nothing says that it was read"
        elif count and (accuracy := values.get("accuracy")) is not None:
            counted = 100.0 * round(accuracy * count / 100) / count
            if not math.isclose(accuracy, counted, rel_tol=0, abs_tol=_TOLERANCE):
                yield f"accuracy on {split} is {accuracy:.8g}, of {count} images never"


def _of_counts(record: Record) -> Iterator[str]:
    counts = record.parameters
    trained = counts["adapter"] + counts["head"]
    trainable = counts.get("trainable", trained)
    if trainable != trained:
        yield f"{trainable} trainable parameters, and adapter and head have {trained}"
    if counts.get("total", trained) < trained:
        yield f"{counts['total']} parameters in all, and {trained} that are trained"


def _of_data(record: Record) -> Iterator[str]:
    """Compare how many images there were with how many were scored, and with the task's sizes."""
    counts, split = record.data.get("counts", {}), record.split
    scored, there = record.counts["scored"], counts.get(split)
    if there is not None and there != scored:
        yield f"{scored} images were scored, and {split} has {there}"
    for name, count in counts.items():
        size = _size(record, name)
        if size not in (_MISSING, count) and record.data.get("partial") is False:
            yield f"{name} has {count} images of {size}, and the data is not called partial"


def _size(record: Record, split: str) -> Any:
    """Return how many images ``split`` should have, less what was not drawn of the training data.

    Of a part of what they were drawn from that is not said.
    """
    size = _at(record.science, "dataset", "sizes", split)
    drawn = {key: _at(record.science, "dataset", key) for key in ("train_size", "shots")}
    if not any(isinstance(value, int) for value in drawn.values()):
        return size
    roles = _at(record.science, "dataset", "splits")
    role = role_of(split, roles if isinstance(roles, dict) else None)
    if role == "train":
        classes = _at(record.science, "dataset", "classes")
        every = isinstance(drawn["shots"], int) and isinstance(classes, int)
        return drawn["shots"] * classes if every else drawn["train_size"]
    apart = isinstance(roles, dict) and roles.get("fit") == roles.get("train")
    return _MISSING if role in ("fit", "val") and not apart else size


def _of_times(record: Record) -> Iterator[str]:
    """Compare parts with the whole, and where the run was picked up with how long it is."""
    total = record.times.get("total", math.inf)
    for phase, seconds in record.times.items():
        if seconds > total + _CLOCKS:
            yield f"{phase} took {seconds:g} s of {total:g} s in all"
    if record.ended and record.begun - datetime.fromisoformat(record.ended) > _CLOCK_SET:
        yield f"it ended {record.ended}, before it started {record.started}"
    epochs = _at(record.science, "train", "epochs")
    for entry in record.resumed:
        if isinstance(epochs, int) and entry.get("epoch", 1) > epochs:
            yield f"it was picked up in epoch {entry['epoch']} of {epochs}"


def _of_science(record: Record) -> Iterator[str]:
    """Compare what stands in the science a second time: the id, names, settings."""
    science = record.science
    if short_hash(science) != record.config_id:
        yield f"config_id {record.config_id} is not that of its science, {short_hash(science)}"
    twice: dict[str, tuple[Any, Any]] = {
        "seed": (record.seed, _at(science, "seed")),
        "benchmark": (record.benchmark, _at(science, "dataset", "benchmark")),
        "task": (record.task, _at(science, "dataset", "name")),
        "group": (record.group, _at(science, "dataset", "group")),
        "protocol": (record.protocol, _at(science, "protocol", "name")),
        "split": (record.split, _at(science, "protocol", "evaluate_split")),
        "primary": (record.primary, _at(science, "dataset", "metric")),
        "selection.rule": (record.selection["rule"], _at(science, "protocol", "selection")),
        "init_from": (record.init_from, science.get("init_from", {})),
        "method": (record.method, _as_it_acts(record, _at(science, "method"))),
        "weights": (record.weights.get("kind", "pretrained"), _weights(science)),
    }
    # A trial of a search has the settings of the run that it is tried for.
    searched = (record.settings.get("protocol.tune"), _at(science, "protocol", "tune"))
    for key, value in record.settings.items():
        if value != "recipe" and searched != (True, False):
            twice[key] = (value, _at(science, *key.split(".", 1)))
    for key, (value, decided) in twice.items():
        if decided is not _MISSING:
            for part, here, there in _unlike(key, value, decided, operator.eq):
                yield f"{part} is {here}, and {there} in its science"
    label = _label(json.dumps(record.method))
    if label not in ("", record.method_label):
        yield f"method_label is {record.method_label!r}, and its method is {label!r}"


def _tuned(record: Record) -> Iterator[str]:
    tuning = record.tuning
    tried, chosen = tuning.get("candidates"), tuning.get("chosen")
    if tried is None and chosen is None:
        return
    if not isinstance(tried, list) or not isinstance(chosen, dict):
        yield "its tuning does not say what was tried and chosen"
        return
    if record.primary not in metric_names():
        return  # of a user's own, or of a later version
    if tuning.get("trials", len(tried)) != len(tried):
        yield f"its tuning tried {tuning['trials']} combinations and lists {len(tried)}"
    done = [one for one in tried if isinstance(one, dict) and one.get("status") == "completed"]
    scored = [one for one in done if is_finite(one.get("score"))]
    pick = max if find_metric(record.primary).higher_is_better else min
    best = pick((one["score"] for one in scored), default=None)
    if not any(one["score"] == best and _holds(one, chosen) for one in scored):
        yield f"its tuning chose {chosen}, which is not the best of what it tried"


def _holds(values: Mapping[str, Any], some: Mapping[str, Any]) -> bool:
    return all(_at(values, key) == value for key, value in some.items())


def _as_it_acts(record: Record, method: Any) -> Any:
    """Return the ``method`` of a science with what tuning chose in the place of what it left open.

    The record's own method has these values.
    """
    if not isinstance(method, Mapping):
        return method
    return {k: record.method.get(k) if v == TUNED else v for k, v in method.items()}


def _weights(science: Mapping[str, Any]) -> Any:
    """Return the kind of weights that a science asks for."""
    kinds = {True: "pretrained", False: "random"}
    pretrained = _at(science, "model", "pretrained")
    return kinds[pretrained] if isinstance(pretrained, bool) else _MISSING


@lru_cache(maxsize=256)
def _label(text: str) -> str:
    """Return the short form of a recorded method, "" where it is not one that can be built here.

    So of a user's own, or of a version with other options.

    Args:
        text: the method as json: thousands of records have one of a few.
    """
    method = json.loads(text)
    name = method.get("name")
    if not isinstance(name, str):
        return ""
    try:
        built = build_method(name, **method_class(name).options_of(method))
    except UserError:
        return ""
    identity = built.identity()
    same = all(_same(value, identity.get(key, _MISSING)) for key, value in method.items())
    return built.label if same else ""


@lru_cache(maxsize=256)
def _method(text: str) -> Any:
    """Return the method that a config describes, as records have it; both as json."""
    given = json.loads(text)
    if not isinstance(given.get("name"), str):
        return given
    try:
        options = {field.name for field in dataclasses.fields(method_class(given["name"]))}
        return build_method(
            given["name"], **{key: given[key] for key in options & given.keys()}
        ).identity()
    except UserError:
        return given


def _grid(given: Any) -> Any:
    """Return the ``protocol.grid`` of a config under the names that identities have."""
    try:
        return shortened_keys(flattened(given)) if isinstance(given, Mapping) else given
    except UserError:
        return given


def _at(values: Mapping[str, Any], *keys: str) -> Any:
    found: Any = values
    for key in keys:
        found = found.get(key, _MISSING) if isinstance(found, Mapping) else _MISSING
    return found


def _unlike(
    key: str, one: Any, other: Any, same: Callable[[Any, Any], bool]
) -> Iterator[tuple[str, str, str]]:
    """Yield where two values differ: the key, of mappings to the bottom, and both in short."""
    if one == other:
        return  # of most records everything
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for name in {**one, **other}:
            values = (one.get(name, _MISSING), other.get(name, _MISSING))
            yield from _unlike(f"{key}.{name}", *values, same)
    elif not same(one, other):
        texts = ["not there" if value is _MISSING else repr(value) for value in (one, other)]
        # Of long ones the beginning may be alike.
        alike = next((n for n, (a, b) in enumerate(zip(*texts, strict=False)) if a != b), 0)
        start = max(0, alike - 20)
        first, second = (shortened(("…" if start else "") + text[start:], _SHOWN) for text in texts)
        yield key, first, second


def _same(recorded: Any, given: Any) -> bool:
    """Whether a checked value is what a yaml has: there ``1`` and ``"1"`` may stand for 1.0."""
    if isinstance(recorded, Mapping) and isinstance(given, Mapping):
        return recorded.keys() == given.keys() and all(
            _same(value, given[key]) for key, value in recorded.items()
        )
    if isinstance(recorded, list) and isinstance(given, list):
        return len(recorded) == len(given) and all(map(_same, recorded, given))
    if isinstance(given, str) and isinstance(recorded, int | float):
        given = _number(given)
    return bool(recorded == given)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
