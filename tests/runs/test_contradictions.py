"""A completed run's record that contradicts itself, or its config, is named and left out."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fabricated_runs import put, record
from flat_results import flat, in_fields

from hydra_peft.config.identity import short_hash
from hydra_peft.config.text import to_yaml
from hydra_peft.errors import UserError
from hydra_peft.methods import build_method
from hydra_peft.runs._contradictions import config_contradictions, contradictions
from hydra_peft.runs.collection import collect
from hydra_peft.runs.record import read_record
from hydra_peft.sweeps.status import Survey

RIGHT = record()
TRIED = [
    {"optimizer.lr": 0.01, "score": 80.0, "status": "completed"},
    {"optimizer.lr": 0.1, "score": 90.0, "status": "completed"},
    {"optimizer.lr": 1.0, "score": None, "status": "diverged"},
]
TUNED = {"trials": 3, "chosen": {"optimizer.lr": 0.1}, "candidates": TRIED}


def science(**changes: Any) -> dict[str, Any]:
    """Return a science with changes, and the id that goes with it."""
    changed = {**RIGHT.science, **changes}
    return {"science": changed, "config_id": short_hash(changed)}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"metrics": {**flat(RIGHT), "accuracy": 100 / 3, "correct": 1, "count": 3}},
        {"metrics": {**flat(RIGHT), "epoch": 30}},
        {"ended": "2026-01-01T12:29:59+00:00"},  # the clock was set back a second
        {"ended": "2026-01-01T14:00:00+01:00"},
        # The first and the last times that there are.
        {"started": "0001-01-01T00:00:00+14:00", "ended": "9999-12-31T23:59:59-12:00"},
        {"tuning": TUNED},
        {"tuning": {"trials": 1}},  # an older one
        {"data": {"counts": {"test": 400, "train": 1000}, "lineage": "generated"}},
        # A user's own method has a label of its own.
        {**science(method={"name": "mine"}), "method": {"name": "mine"}, "method_label": "m r=1"},
        # A trial: its settings are those of the run that it is tried for.
        {
            **science(protocol={"name": "clean", "evaluate_split": "test", "tune": False}),
            "settings": {"protocol.tune": True, "optimizer.lr": "tuned", "protocol.name": "x"},
        },
        # No share of correct images, so counts do not say it.
        {
            **science(dataset={**RIGHT.science["dataset"], "metric": "pearson"}),
            **{"primary": "pearson", "scores": {"test": {"pearson": -12.0}}},
        },
    ],
)
def test_what_agrees(changes: dict[str, Any]) -> None:
    assert contradictions(dataclasses.replace(RIGHT, **in_fields(changes))) == ""


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"metrics": {**flat(RIGHT), "accuracy": 99.9}},
            "accuracy is 99.9, and 393 of 400 correct are 98.25",
        ),
        # Without the count nothing would hold the score.
        (
            {"counts": {"scored": 400}, "scores": {"test": {"accuracy": 99.9}}},
            "accuracy is 99.9, and nothing says how many of 400 were correct",
        ),
        # Beside another metric, which cannot be recomputed, it is still a share of the images.
        (
            {"primary": "f1", "scores": {"test": {"f1": 97.0, "accuracy": 98.3}}},
            "accuracy is 98.3, and 393 of 400 correct are 98.25",
        ),
        ({"metrics": {**flat(RIGHT), "correct": 401}}, "401 of 400 images correct"),
        ({"metrics": {**flat(RIGHT), "correct": 0, "count": 0}}, "0 of 0 images correct"),
        ({"metrics": {**flat(RIGHT), "epoch": 29}}, "the score is of epoch 29 of 30"),
        ({"metrics": {**flat(RIGHT), "split": "val200"}}, "split is 'val200', and 'test' in"),
        (
            {"parameters": {**RIGHT.parameters, "adapter": 1}},
            "17970 trainable parameters, and adapter and head have 1291",
        ),
        ({"parameters": {"adapter": 2, "head": 1, "total": 2}}, "2 parameters in all, and 3"),
        ({"config_id": "0" * 12}, "config_id 000000000000 is not that of its science"),
        ({"science": {**RIGHT.science, "seed": 1}}, "config_id .* seed is 0, and 1 in its science"),
        (
            science(optimizer={"lr": 3}) | {"settings": {"optimizer.lr": 1}},
            "optimizer.lr is 1, and 3",
        ),
        ({"task": "cells"}, "task is 'cells', and 'digits' in its science"),
        ({"protocol": "official"}, "protocol is 'official', and 'clean'"),
        (
            {"method": {**RIGHT.method, "rank_parallel": 4}},
            "method.rank_parallel is 4, and 2 in its science",
        ),
        (
            science(model={"arguments": {"depths": [2] * 100 + [3]}})
            | {"settings": {"model.arguments": {"depths": [2] * 100 + [4]}}},
            "model.arguments.depths is ….*2, 4], and ….*2, 3] in its science",
        ),
        (
            {"method": {"name": "full"}},
            "method.name is 'full', and 'hydra' in its science; method.rank_parallel is not there",
        ),
        # Labels are texts that tables print; what they stand for can be computed.
        ({"method_label": "hydra r=8+8"}, "method_label is 'hydra r=8+8', and its method is"),
        ({"method_label": "lora r=4"}, "and its method is 'hydra r=2+2'"),
        ({"group": "structured"}, "group is 'structured', and 'natural' in its science"),
        ({"weights": {"kind": "random"}}, "weights is 'random', and 'pretrained' in its science"),
        ({"data": {"counts": {"test": 399}}}, "400 images were scored, and test has 399"),
        (
            science(dataset={**RIGHT.science["dataset"], "sizes": {"test": 800}})
            | {"data": {"counts": {"test": 400}, "partial": False}},
            "test has 400 images of 800, and the data is not called partial",
        ),
        ({"times": {"train": 60.0, "total": 49.0}}, "train took 60 s of 49 s in all"),
        (
            {"ended": "2026-01-01T12:28:59+00:00"},
            "it ended 2026-01-01T12:28:59+00:00, before it started 2026-01-01T12:30:00+00:00",
        ),
        ({"ended": "2026-01-01T23:59:00+12:00"}, "before it started"),
        ({"resumed": [{"epoch": 31}]}, "it was picked up in epoch 31 of 30"),
        ({"tuning": {**TUNED, "trials": 2}}, "tried 2 combinations and lists 3"),
        ({"tuning": {**TUNED, "chosen": {"optimizer.lr": 0.01}}}, "not the best of what it tried"),
        ({"tuning": {**TUNED, "chosen": {"optimizer.lr": 7}}}, "not the best of what it tried"),
        ({"tuning": {"chosen": [1]}}, "does not say what was tried and chosen"),
    ],
)
def test_what_does_not_agree_is_told(changes: dict[str, Any], told: str) -> None:
    found = contradictions(dataclasses.replace(RIGHT, **in_fields(changes)))
    assert re.search(re.escape(told).replace(r"\.\*", ".*"), found), found


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("lora", {"rank": 3}),
        ("seqlora", {"rank": 8, "bias": False}),
        ("hydra", {"rank_parallel": 1, "rank_sequential": 7}),
        ("linear", {}),
        ("full", {}),
    ],
)
def test_a_label_is_computed_from_the_recorded_options(name: str, options: dict[str, Any]) -> None:
    method = build_method(name, **options)
    recorded = method.identity()
    run = dataclasses.replace(
        RIGHT,
        **science(method=recorded),
        method=recorded,
        method_label=method.label,
        settings={},
    )
    assert contradictions(run) == ""
    wrong = dataclasses.replace(run, method_label=f"{method.label}0")
    assert f"its method is {method.label!r}" in contradictions(wrong)


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (lambda text: text.replace("lr: 0.001", "lr: 0.5"), "optimizer.lr is 0.5 there and 0.001"),
        (lambda text: text.replace("seed: 0", "seed: 0\nseed: 1"), "has the key 'seed' twice"),
        (lambda text: text.replace("rank: 2", "rank: 2\n  rank: 8"), "has the key 'rank' twice"),
        (lambda text: text.replace("seed: 0", "<<: {seed: 1}"), "not valid yaml"),
        (lambda text: text.replace("seed: 0", "seed: 1 # 0"), "seed is 1 there and 0"),
        (lambda text: text.replace("seed: 0", "seed: ${oc.env:HOME}"), "an interpolation"),
        (lambda _: "x" * (100 * 2**10), "holds no settings"),
        (lambda text: text.replace("vit_mini", "vit_huge"), "model.name is 'vit_huge'"),
    ],
)
def test_every_reader_compares_the_config_beside_the_record(
    tmp_path: Path, edit: Callable[[str], str], told: str
) -> None:
    folder = put(tmp_path)
    text = to_yaml({**CONFIG, "model": {**CONFIG["model"], "name": "vit_mini"}})
    (folder / "config.yaml").write_text(text)
    assert [run.folder for run in collect(tmp_path).completed] == [folder]
    assert edit(text) != text
    (folder / "config.yaml").write_text(edit(text))
    collection = collect(tmp_path)
    assert collection.completed == []
    assert told in collection.warnings[0]
    assert str(folder / "config.yaml") in collection.warnings[0]
    assert Survey(tmp_path).look().of("done") == []
    doubts: list[str] = []
    read_record(folder, doubts)
    assert told in doubts[0]


def test_such_a_record_is_in_no_table(tmp_path: Path) -> None:
    good, bad = put(tmp_path), put(tmp_path, seed=1)
    content = json.loads((bad / "result.json").read_text())
    content["scores"]["test"]["accuracy"] = 99.9
    (bad / "result.json").write_text(json.dumps(content))
    collection = collect(tmp_path)
    assert [run.folder for run in collection.completed] == [good]
    (warning,) = collection.warnings
    assert f"{bad}/result.json contradicts itself: accuracy is 99.9, and 393 of 400" in warning
    with pytest.raises(UserError, match="contradicts itself"):
        read_record(bad)
    doubts: list[str] = []
    assert read_record(bad, doubts).score == 99.9
    assert len(doubts) == 1


CONFIG = {
    **RIGHT.science,
    "method": {
        "name": "hydra",
        "recipe": "adapter",
        "rank": 2,
        "targets": ["mlp.fc2", "attn.proj"],
    },
    "paths": {"runs": "/elsewhere"},
}
METHOD = {
    **{"name": "hydra", "rank_parallel": 2, "rank_sequential": 2, "scale": 1.0},
    "targets": ["attn.proj", "mlp.fc2"],
}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, ""),
        ({"optimizer": {"lr": "1e-3", "weight_decay": 1e-4}}, ""),  # as yaml may have a number
        ({"optimizer": {"lr": 0.01}}, "optimizer.lr is 0.01 there and 0.001 in the record"),
        ({"train": {"epochs": 31}}, "train.epochs is 31 there and 30 in the record"),
        ({"seed": 1}, "seed is 1 there and 0 in the record"),
        ({"method": {**CONFIG["method"], "rank": 4}}, "method.rank_parallel is 4 there and 2"),
        ({"method": {**CONFIG["method"], "scale": 2}}, "method.scale is 2 there and 1.0"),
        ({"method": {**CONFIG["method"], "scale": []}}, "method.targets"),
    ],
)
def test_a_config_is_compared_with_the_record(changes: dict[str, Any], told: str) -> None:
    run = dataclasses.replace(RIGHT, science={**RIGHT.science, "method": METHOD})
    found = config_contradictions(run, {**CONFIG, **changes})
    assert found == told or (told and told in found)


def test_what_tuning_chose_is_in_the_config() -> None:
    tuned = {"lr": "tuned", "weight_decay": 1e-4}
    run = dataclasses.replace(
        RIGHT,
        science={"optimizer": tuned},
        tuning={"chosen": {"optimizer.lr": 0.1}, "candidates": TRIED},
    )
    assert config_contradictions(run, {"optimizer": {"lr": 0.1}}) == ""
    found = config_contradictions(run, {"optimizer": {"lr": 0.2}})
    assert found == "optimizer.lr is 0.2 there and 0.1 in the record"
