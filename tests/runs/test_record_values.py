"""Records whose values no run writes are not read."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest
from fabricated_runs import record
from flat_results import in_fields

from hydra_peft.config.identity import short_hash
from hydra_peft.errors import UserError
from hydra_peft.runs.record import Record, read_record

ACCURACY = "scores.test.accuracy"
METRICS = {"accuracy": 98.25, "correct": 393, "count": 400, "split": "test", "selection": "last"}

SCIENCE = {**record().science, "dataset": {"metric": "pearson"}}
CORRELATION = {"science": SCIENCE, "config_id": short_hash(SCIENCE)}


def nested(levels: int) -> Any:
    return json.loads('{"a":' * levels + "1" + "}" * levels)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"scores": {"test": {"pearson": -12}}, "primary": "pearson", **CORRELATION},
        {"scores": {"test": {"accuracy": 98.25, "mse": 2500.0, "of_a_user": -700.0}}},
        {"settings": nested(20)},
        {"status": "failed", "metrics": {}, "parameters": {}, "error": "out of memory"},
    ],
)
def test_what_runs_write_is_read(tmp_path: Path, changes: dict[str, Any]) -> None:
    written = planted(tmp_path, changes)
    assert read_record(tmp_path) == written


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        *(({"metrics": {**METRICS, "accuracy": odd}}, ACCURACY) for odd in ("98", None, True)),
        *(({"metrics": {**METRICS, "accuracy": odd}}, ACCURACY) for odd in (100.5, 10**400)),
        *(
            ({"metrics": {**METRICS, "correct": odd}}, "counts.correct")
            for odd in ("1", None, 10**400)
        ),
        (
            {"scores": {"test": {"pearson": -100.5, "mse": -0.1}}},
            "scores.test.pearson, scores.test.mse",
        ),
        ({"metrics": {**METRICS, "count": [1]}}, "counts.scored"),
        # The later of two equal runs counts, so times are times, and comparable.
        *(({"started": odd}, "started") for odd in ("", "zzz", "2026-01-01T00:00:00", None)),
        *(({"ended": odd}, "ended") for odd in ("", "2026-13-01T00:00:00+00:00", 7)),
        ({"metrics": {**METRICS, "split": 1}}, "selection.split"),
        ({"metrics": {**METRICS, "selection": None}}, "selection.rule"),
        ({"status": "diverged", "metrics": {"accuracy": "98", "split": "a"}}, "scores.a.accuracy"),
        ({"parameters": {"adapter": 10**400, "head": -1}}, "parameters.adapter, parameters.head"),
        ({"parameters": {"adapter": 1.0, "head": True}}, "parameters.adapter, parameters.head"),
        ({"parameters": {"adapter": 1, "head": 1, "total": "9"}}, "parameters.total"),
        *(({"times": {"total": odd}}, "times") for odd in ("x", None, True, 10**400, [1])),
        ({"times": [], "code": None}, "times, code"),
        *(({name: []}, name) for name in ("hardware", "versions", "memory", "path", "tuning")),
        *(({"memory": {"bytes": odd, "of": "a"}}, "memory") for odd in (-1, "9", [], 1e9, 10**400)),
        ({"memory": {"bytes": 1}}, "memory"),
        ({"hardware": {"threads": [1]}, "versions": {"torch": {}}}, "hardware, versions"),
        *(({"images_per_second": odd}, "images_per_second") for odd in ("9", 10**400, 1e308, {})),
        *(({"seed": odd}, "seed") for odd in (True, -1, 2**32, 1.0)),
        ({"started": 7}, "started"),
        *(({"times": {"total": odd}}, "times") for odd in (-1, -1e-9)),
        ({"images_per_second": -1.0}, "images_per_second"),
        *(
            ({"metrics": {**METRICS, "train_accuracy": odd}}, "training.accuracy")
            for odd in (100.5, -1, "99", [1])
        ),
        *(
            ({"metrics": {**METRICS, "train_loss": odd}}, "training.loss")
            for odd in (-1, "0", None)
        ),
        *(
            ({"metrics": {**METRICS, "epoch": odd}}, "selection.epoch")
            for odd in ("3", -1, 2.0, [3])
        ),
        ({"data": {"lineage": 5, "sha256": [1]}}, "data.sha256, data.lineage"),
        ({"data": {"partial": "no", "notes": "x"}}, "data.partial, data.notes"),
        ({"data": {"splits": {"test": 1}, "counts": {"test": "9"}}}, "data.splits, data.counts"),
        ({"data": {"splits": [], "counts": []}}, "data.splits, data.counts"),
        *(({"data": {"classes": odd}}, "data.classes") for odd in ("x", {"a": 1}, [1], [["x"]])),
        ({"settings": {"classes": [0] * 20_000}}, "settings"),
        *(({"resumed": odd}, "resumed") for odd in ([1], [{"epoch": "x"}], [{"at_step": -1}])),
        *(({name: odd}, name) for name in ("task", "method_label") for odd in ("", " \t")),
        ({"status": "failed", "method": {"name": ""}}, "method.name"),
        ({"settings": nested(40)}, "settings"),
        ({"settings": {f"a.b{number}": 0 for number in range(20_000)}}, "settings"),
        ({"tuning": {"candidates": [[]] * 20_000}}, "tuning"),
        ({"status": "failed", "error": ["no", "text"]}, "error"),
    ],
)
def test_what_no_run_writes_is_named(tmp_path: Path, changes: dict[str, Any], named: str) -> None:
    planted(tmp_path, changes)
    path = re.escape(str(tmp_path / "result.json"))
    with pytest.raises(UserError, match=rf"^{path} has no usable {named}: edited\?$"):
        read_record(tmp_path)


def test_a_task_may_have_any_number_of_classes(tmp_path: Path) -> None:
    planted(tmp_path, {"data": {"classes": [f"class {number}" for number in range(22_000)]}})
    assert len(read_record(tmp_path).data["classes"]) == 22_000


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_none_are_not_read(tmp_path: Path, number: str) -> None:
    planted(tmp_path, {})
    path = tmp_path / "result.json"
    path.write_text(path.read_text().replace("98.25", number))
    with pytest.raises(UserError, match="not valid json"):
        read_record(tmp_path)


def test_a_key_is_there_once(tmp_path: Path) -> None:
    """Readers of json differ in which of two equal keys counts."""
    planted(tmp_path, {})
    path = tmp_path / "result.json"
    path.write_text(path.read_text().replace('"accuracy"', '"accuracy": 99.9, "accuracy"', 1))
    with pytest.raises(UserError, match="the key 'accuracy' is there twice"):
        read_record(tmp_path)


def test_a_long_list_of_names_is_cut_and_steers_no_terminal(tmp_path: Path) -> None:
    odd = {f"\x1b[2J{number}": None for number in range(1000)}
    planted(tmp_path, {"parameters": {"adapter": 1, "head": 1, **odd}})
    with pytest.raises(UserError) as raised:
        read_record(tmp_path)
    assert len(str(raised.value)) < len(str(tmp_path)) + 300
    assert str(raised.value).isprintable()


def planted(folder: Path, changes: dict[str, Any]) -> Record:
    """Write a record, completed unless ``changes`` say otherwise, that nothing has checked."""
    made = dataclasses.replace(record(), **in_fields(changes))
    (folder / "result.json").write_text(json.dumps(dataclasses.asdict(made)))
    return made
