"""A completed run's record or config that was edited since is named and left out."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fabricated_runs import edited, put, record

from hydra_peft.config.identity import short_hash
from hydra_peft.config.text import to_yaml
from hydra_peft.errors import UserError
from hydra_peft.runs._choices import of_tuning
from hydra_peft.runs._config_contradictions import config_contradiction
from hydra_peft.runs._contradictions import contradiction
from hydra_peft.runs.collection import collect
from hydra_peft.runs.record import read_record, write_record
from hydra_peft.sweeps.status import Survey

SIZES = {"adapter": 16_680, "head": 1_290}
LAST = {"rule": "last", "split": "test"}


#: ways to write a config that are not the way of a run
LAYOUTS: list[Callable[[dict[str, Any]], str]] = [
    lambda config: json.dumps(config),
    lambda config: "".join(f"{key}: {json.dumps(config[key])}\n" for key in config),
    lambda config: to_yaml(config).replace("optimizer:", '"optimizer":'),
    lambda config: to_yaml(config).replace("optimizer:", "optimizer :"),
    lambda config: to_yaml(config).replace("optimizer:", "? optimizer\n:"),
    lambda config: to_yaml(config).replace("\n", "\r\n"),
    lambda config: to_yaml(config).replace("\n", "\r"),
    lambda config: "".join(f" {line}\n" for line in to_yaml(config).splitlines()),
]


def settings_of(science: dict[str, Any], *groups: str) -> dict[str, Any]:
    """Return the settings of these groups."""
    return {f"{group}.{key}": value for group in groups for key, value in science[group].items()}


def config_of(science: dict[str, Any]) -> dict[str, Any]:
    """Return what a config says of a run of Hydra that has this ``science``."""
    method = {"name": "hydra", "targets": science["method"]["targets"], "rank": 2}
    return {**science, "model": {**science["model"], "name": "vit_mini"}, "method": method}


def told(tmp_path: Path, folder: Path) -> str:
    """Return the sentence about the run, which every reader leaves out."""
    collection = collect(tmp_path)
    assert collection.completed == []
    assert Survey(tmp_path).look().of("done") == []
    with pytest.raises(UserError):
        read_record(folder)
    doubts: list[str] = []
    read_record(folder, doubts)
    assert doubts[0] in collection.warnings[0]
    return doubts[0]


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: text.replace("98.25", "99.9"),
        lambda text: text.replace('"digits"', '"cells"'),
        lambda text: text.replace("hydra r=2+2", "hydra r=8+8"),
        lambda text: text.replace('"seal": {', '"seal": {"more": 1, ').replace("812.4", "912.4"),
    ],
)
def test_a_record_that_was_edited(tmp_path: Path, edit: Callable[[str], str]) -> None:
    folder = put(tmp_path)
    assert [run.folder for run in collect(tmp_path).completed] == [folder]
    path = folder / "result.json"
    text = path.read_text()
    path.write_text(json.dumps(json.loads(text)))  # the same in another form
    assert read_record(folder) == record()
    assert edit(text) != text
    path.write_text(edit(text))
    assert f"{path} is not as its run wrote it" in told(tmp_path, folder)


def test_a_config_that_was_edited(tmp_path: Path) -> None:
    folder = put(tmp_path)
    path = folder / "config.yaml"
    config = config_of(record().science)
    path.write_text(to_yaml(config))
    write_record(read_record(folder), folder)
    path.write_text(to_yaml({**config, "device": "cpu"}))
    assert f"{path} is not the config of the run's record" in told(tmp_path, folder)
    path.unlink()  # records are copied without it
    assert read_record(folder).seed == 0


def test_texts_that_no_terminal_takes_are_sealed_as_they_are_read(tmp_path: Path) -> None:
    odd = dataclasses.replace(record(), model="\ud800 ü")
    write_record(odd, tmp_path)
    assert read_record(tmp_path).model == "\\ud800 ü"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"scores": {"test": {"accuracy": 99.9}}}, "99.9, and 393 of 400 correct are 98.25"),
        ({"counts": {"scored": 400}}, "accuracy is 98.25, and None of 400"),
        ({"counts": {"scored": 400, "correct": 401}}, "401 of 400 examples correct"),
        ({"counts": {"scored": 0, "correct": 0}}, "0 of 0 examples correct"),
        ({"config_id": "0" * 12}, "config_id 000000000000 is not that of its science"),
        ({"seed": 7}, "seed is 7, and seed of its science 0"),
        ({"task": "cells"}, "task is 'cells', and dataset.name of its science 'digits'"),
        ({"group": "a"}, "group is 'a', and dataset.group of its science 'natural'"),
        ({"benchmark": "a"}, "benchmark is 'a', and dataset.benchmark of its science 'mini'"),
        ({"settings": {"train.epochs": 2}}, "settings.train.epochs is 2, and train.epochs of its"),
        ({"settings": {"train.batch_size": 8}}, "settings.train.batch_size is 8, and train.batch"),
        (
            {"method": {**record().method, "name": "lora"}},
            "method.name is 'lora', and 'hydra' in its science",
        ),
        ({"method_label": "hydra r=8"}, "method_label is 'hydra r=8', and its method is 'hydra r="),
        ({"init_from": {"task": "mini/cells"}}, "init_from is not that of its science"),
        ({"weights": {"kind": "random"}}, "weights.kind is 'random', and model.pretrained of its"),
        ({"parameters": {**SIZES, "trainable": 1}}, "1 parameters are trainable, and adapter and"),
        ({"parameters": {**SIZES, "total": 10}}, "10 parameters in all, and adapter and head have"),
        ({"error": "cannot read"}, "it is completed and says that it failed"),
        ({"tuning": {"chosen": {}}}, "it says what tuning chose, and its science tunes nothing"),
        ({"data": {"counts": {"test": 10}}}, "400 examples were scored, and test has 10"),
        ({"data": {"counts": {"val": 10}}}, "test has scores, and its data no such split"),
        ({"selection": {**LAST, "epoch": 29}}, "the score is of epoch 29 of 30, by the rule 'last"),
        (
            {"selection": {"rule": "best", "split": "test", "epoch": 3}},
            "its epoch is the best of",
        ),
        ({"times": {"train": 9000.0, "total": 8.0}}, "train took 9000 s of 8 s in all"),
        (
            {"data": {"counts": {"train": 1000, "test": 400}}, "images_per_second": 1e9},
            "1e+09 examples a second in 47.1 s of training are not the 30,000 of its epochs",
        ),
        ({"ended": "2020-01-01T00:00:00+00:00"}, "it ended 2020-01-01T00:00:00+00:00, before it"),
    ],
)
def test_a_record_that_contradicts_itself(
    tmp_path: Path, changes: dict[str, object], sentence: str
) -> None:
    folder = put(tmp_path)
    edited(folder, images_per_second=1.0)
    assert read_record(folder).images_per_second == 1.0
    edited(folder, **changes)
    assert f"contradicts itself: {sentence}" in told(tmp_path, folder).replace(
        "accuracy is 99", "99"
    )


@pytest.mark.parametrize(
    ("key", "value", "decided"),
    [
        ("seed", 0, 1),
        ("primary", "accuracy", {"dataset": {"metric": "pearson"}}),
        ("protocol", "clean", {"protocol": {"name": "official"}}),
        ("selection.rule", "last", {"protocol": {"selection": "best"}}),
        ("selection.split", "test", {"protocol": {"evaluate_split": "val"}}),
        ("settings.precision", "fp32", {"precision": "bf16"}),
        ("inputs.image_size", [32, 32], {"model": {"image_size": 48}}),
    ],
)
def test_what_the_science_says_otherwise(key: str, value: object, decided: Any) -> None:
    science = record().science
    science = {**science, **(decided if isinstance(decided, dict) else {key: decided})}
    edited = dataclasses.replace(
        record(), science=science, config_id=short_hash(science), settings={"precision": "fp32"}
    )
    edited.inputs["image_size"] = [32, 32]
    assert contradiction(edited).startswith(f"{key} is {value!r}, and ")


@pytest.mark.parametrize(
    ("dataset", "data", "sentence"),
    [
        ({}, {}, "train has 1000 examples, and 800 in its science"),
        ({}, {"partial": True}, ""),
        ({"shots": 5, "classes": 200}, {}, ""),
        ({"train_size": 1000}, {}, ""),
        ({"shots": 5, "classes": 10}, {}, "train has 1000 examples, and its science draws 50"),
        ({"train_size": 40}, {}, "train has 1000 examples, and its science draws 40"),
        ({"train_size": 40}, {"counts": {"train": 40, "val200": 8, "test": 400}}, ""),
        ({}, {"counts": {}}, "test has scores, and its data no such split"),
        (
            {"sizes": {"test": 500}, "train_size": 1000},
            {},
            "test has 400 examples, and 500 in its science",
        ),
    ],
)
def test_splits_have_the_sizes_of_the_science(
    dataset: dict[str, Any], data: dict[str, Any], sentence: str
) -> None:
    before = record()
    sizes = {"train": 800, "val200": 200, "test": 400}
    science = {**before.science, "dataset": {"sizes": sizes, **dataset}}
    edited = dataclasses.replace(
        before,
        science=science,
        config_id=short_hash(science),
        data={"counts": {"train": 1000, "test": 400}, **data},
        settings={**before.settings, **{f"dataset.{key}": dataset[key] for key in dataset}},
        images_per_second=None,
    )
    assert contradiction(edited) == sentence


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        ({"train.epochs": None}, "it has no settings.train.epochs, and train.epochs of its "),
        ({"optimizer.momentum": 0.5}, "settings.optimizer.momentum is 0.5, and its science has no"),
        # Runs of a search alone have the settings of another, and are told by their protocol.
        ({"protocol.tune": True}, "settings.protocol.tune is True, and "),
    ],
)
def test_settings_are_those_of_the_science(edit: dict[str, Any], sentence: str) -> None:
    science = {**record().science, "protocol": {"name": "clean", "tune": False}}
    whole = settings_of(science, "train", "optimizer", "protocol")
    right = dataclasses.replace(
        record(), science=science, config_id=short_hash(science), settings=whole
    )
    assert contradiction(right) == ""
    settings = {key: value for key, value in {**whole, **edit}.items() if value is not None}
    assert "train.clip_grad" not in settings
    settings["train.clip_grad"] = None
    assert contradiction(dataclasses.replace(right, settings=settings)).startswith(sentence)
    assert contradiction(dataclasses.replace(right, settings={})) == "it has no settings"


RECIPE = {
    "epochs": 30,
    "lr": {"adapter": 1e-3, "linear": 2e-3},
    "weight_decay": 1e-4,
    "method": {"scale": 4},
    "by_task": {"scale": {"digits": 8}},
    "grid": {"lr": {"adapter": [5e-3]}},
}


@pytest.mark.parametrize(
    ("config", "lr", "sentence"),
    [
        ({"dataset": {"recipe": RECIPE}}, 5e-3, "its recipe has optimizer.lr 0.001, 0.002, "),
        ({"dataset": {"recipe": RECIPE}}, 2e-3, ""),
        ({"dataset": {"recipe": {"epochs": 30}}}, 5e-3, "its recipe has no "),
        ({"dataset": {"recipe": {"other": [5e-3, 1e-4, 8]}}}, 5e-3, ""),
        ({"dataset": {"recipe": "of older code"}}, 5e-3, ""),
        ({"model": {"name": "vit: other"}}, 5e-3, "model.name is 'vit: other', there 'vit_mini'"),
    ],
)
def test_a_record_that_its_config_contradicts(
    tmp_path: Path, config: dict[str, Any], lr: float, sentence: str
) -> None:
    """Whoever seals it anew; what settings call the recipe's is one of its values."""
    science = {**record().science, "optimizer": {"lr": lr, "weight_decay": 1e-4}}
    science["method"] = {**science["method"], "scale": 8}
    settings = settings_of(science, "method")
    recipes = ("optimizer.lr", "optimizer.weight_decay", "method.scale")
    settings |= dict.fromkeys(recipes, "recipe")
    given = config_of({**science, "optimizer": {"lr": lr, "weight_decay": 1e-4}})
    given["method"]["scale"] = 8
    groups = {group: {**given[group], **values} for group, values in config.items()}
    (tmp_path / "config.yaml").write_text(to_yaml({**given, **groups}))
    sealed = dataclasses.replace(
        record(),
        science=science,
        settings=settings,
        method=science["method"],
        config_id=short_hash(science),
    )
    write_record(sealed, tmp_path)
    doubts: list[str] = []
    read_record(tmp_path, doubts)
    beginning = f"{tmp_path / 'config.yaml'} is not the config of the run's record, {sentence}"
    assert [doubt.startswith(beginning) for doubt in doubts] == [True] * bool(sentence)


@pytest.mark.parametrize(
    ("group", "changes", "sentence"),
    [
        ("optimizer", {"lr": 0.5}, "optimizer.lr is 0.5, there 0.001"),
        ("optimizer", {"lr": None}, "it has no optimizer.lr, there it is 0.001"),
        ("train", {"epochs": 9}, "train.epochs is 9, there 30"),
        ("train", {"accumulate": 2}, "train.accumulate is 2, there 1"),
        ("train", {"epochs": 30.0}, ""),
        ("train", {"accumulate": True}, "train.accumulate is True, there 1"),
        ("train", None, "it has no train.epochs, there it is 30"),
        ("train", {}, ""),
        ("model", {"architecture": None}, "it has no model.architecture, there it is 'vit_mini'"),
        ("method", {"rank": 4}, "method.rank_parallel is 4, there 2"),
        ("method", {"rank": 2}, ""),
        ("method", {"zero_up": False}, "method.zero_up is False, there it is as it was before"),
        ("method", {"dropout": 1.5}, "method is {'name': 'hydra', "),
        ("method", None, "method is None, which no run has"),
        ("head", {"name": "prototypes"}, "head.name is 'prototypes', there 'linear'"),
        ("head", {"name": "linear", "norm": "batch"}, "head.norm is 'batch', there it is as it"),
        ("head", {"name": "linear", "norm": "none"}, ""),
        ("head", {"name": "zzz"}, "head is {'name': 'zzz'}, which no run has"),
        ("dataset", {"splits": {"test": "val"}}, "dataset.splits is {'train': 'train', 'test': "),
        ("dataset", {"splits": {"test": "test"}, "source": "hf"}, ""),
        ("seed", 7, "seed is 7, there 0"),
        ("seed", None, "seed is None, there 0"),
        ("seed", "${oc.env:HOME}", "it holds an interpolation in 'seed'"),
    ],
)
@pytest.mark.parametrize("sealed", [True, False])
def test_a_config_says_what_the_science_says(
    tmp_path: Path, group: str, changes: Any, sentence: str, sealed: bool
) -> None:
    """With a seal that was made again, or was taken away."""
    folder = put(tmp_path)
    config = config_of(read_record(folder).science)
    if isinstance(changes, dict):
        gone = [key for key, value in changes.items() if value is None]
        changes = {**config.get(group, {}), **changes}
        changes = {key: value for key, value in changes.items() if key not in gone}
    (folder / "config.yaml").write_text(to_yaml({**config, group: changes}))
    write_record(record(), folder)
    if not sealed:
        edited(folder)
    if sentence:
        assert f"is not the config of the run's record, {sentence}" in told(tmp_path, folder)
    else:
        assert read_record(folder) == record()


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ("", "it has no model.name"),
        ("{}\n", "it has no model.name"),
        ("model: {name: vit_mini}\n", "it has no seed"),
        ("- - -\n", "it holds no settings"),
        ("optimizer: [\n", "it is not valid yaml"),
        ("seed: 0\nseed: 0\n", "it has the key 'seed' twice"),
        *[(layout, "optimizer.lr is 0.5, there 0.001") for layout in LAYOUTS],
    ],
)
def test_a_config_that_no_run_laid_out(
    tmp_path: Path, written: str | Callable[[dict[str, Any]], str], sentence: str
) -> None:
    """It says the same in another layout of yaml, or nothing."""
    folder = put(tmp_path)
    config = config_of(record().science)
    config = {**config, "optimizer": {**config["optimizer"], "lr": 0.5}}
    path = folder / "config.yaml"
    path.write_text(written if isinstance(written, str) else written(config), newline="")
    write_record(record(), folder)
    said = told(tmp_path, folder)
    assert f"is not the config of the run's record, {sentence}" in said
    assert said.count("edited?") == 1


@pytest.mark.parametrize("sealed", [True, False])
def test_a_config_that_cannot_be_read(tmp_path: Path, sealed: bool) -> None:
    folder = put(tmp_path)
    if not sealed:
        edited(folder)
    os.mkfifo(folder / "config.yaml")
    assert f"{folder / 'config.yaml'} is no ordinary file but a pipe" in told(tmp_path, folder)


def test_a_record_without_a_seal_is_named(tmp_path: Path) -> None:
    """It is read: the first code with this layout sealed none."""
    edited(put(tmp_path))
    put(tmp_path, seed=1)
    edited(put(tmp_path, seed=2), schema=1)  # of older code
    edited(put(tmp_path, seed=3), task="cells")  # left out, and told of already
    collection = collect(tmp_path)
    looked = Survey(tmp_path).look()
    assert len(collection.completed) == len(looked.of("done")) == 3
    for warnings in (collection.warnings, looked.warnings):
        refused, unsealed = warnings
        assert "contradicts itself: task is 'cells'" in refused
        assert "result.json has no 'seal': changed since" in unsealed


OFFICIAL = {"protocol.evaluate_every": 10, "protocol.evaluate_split": "test", "train.epochs": 30}
LOOKS = {"split": "test", "last": {"epoch": 30, "score": 1}, "best": {"epoch": 20, "score": 98.25}}


@pytest.mark.parametrize(
    ("selection", "sentence"),
    [
        ({"epoch": 20, "evaluations": 3, "looks": LOOKS}, ""),
        ({"epoch": 20, "evaluations": 3}, ""),
        ({"epoch": 17, "evaluations": 3}, "the score is of epoch 17, after which nothing was"),
        ({"epoch": 20, "evaluations": 999}, "it was evaluated 999 times, and its science says 3"),
        ({"epoch": 10, "evaluations": 3, "looks": LOOKS}, "selection.looks has another best than"),
        (
            {"epoch": 20, "evaluations": 3, "looks": {**LOOKS, "best": {"epoch": 20, "score": 99}}},
            "selection.looks has another best than",
        ),
        ({"epoch": 20, "evaluations": 3, "looks": {}}, "selection.looks has no looks"),
        ({"epoch": 20, "evaluations": 3, "looks": {"best": 3}}, "selection.looks has another best"),
        ({"epoch": 20, "evaluations": 1}, "it was evaluated 1 times, and its science says 3"),
        (
            {
                "epoch": 20,
                "evaluations": 3,
                "looks": {**LOOKS, "last": {"epoch": 30, "score": 99.0}},
            },
            "selection.looks has a last that is better than the best, or is of no last epoch",
        ),
        (
            {
                "epoch": 20,
                "evaluations": 3,
                "looks": {**LOOKS, "last": {"epoch": 29, "score": 1.0}},
            },
            "selection.looks has a last that is better than the best, or is of no last epoch",
        ),
    ],
)
def test_the_epoch_that_counts_was_evaluated(selection: dict[str, Any], sentence: str) -> None:
    science: dict[str, Any] = {}
    for key, value in OFFICIAL.items():
        group, _, name = key.partition(".")
        science.setdefault(group, {})[name] = value
    edited = dataclasses.replace(
        record(),
        science=science,
        config_id=short_hash(science),
        settings=settings_of(science, "train"),
        method={},
        selection={"rule": "best", "split": "test", **selection},
    )
    found = contradiction(edited)
    assert found.startswith(sentence) if sentence else found == ""


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({}, ""),
        (
            {"train": None},
            "it has no settings.optimizer.lr, and optimizer.lr of its science is 0.1",
        ),
        ({"train.epochs": "tuned"}, "settings.train.epochs is 'tuned', and train.epochs of its"),
        ({"train.epochs": "seed"}, "settings.train.epochs is 'seed', and train.epochs of its"),
        ({"train.epochs": "recipe"}, ""),
        ({"dataset.shots": 5}, "settings.dataset.shots is 5, and its science has no dataset.shots"),
        ({"zz.a": 5}, "settings.zz.a is 5, and its science has no zz.a"),
        ({"train.accumulate": None}, ""),
        ({"plugins.x": "y"}, "settings.plugins.x is 'y', and its science has no plugins.x"),
        ({"protocol.tune_seed": "seed"}, "settings.protocol.tune_seed is 'seed', and protocol"),
    ],
)
def test_settings_hide_nothing(settings: dict[str, Any], sentence: str) -> None:
    science = {
        **{"model": {"drop_path": 0.0}, "optimizer": {"lr": 0.1}, "scheduler": {"min_lr": 0.0}},
        "protocol": {"name": "clean", "tune_seed": 0},
        "train": {"epochs": 30, "accumulate": "tuned"},
    }
    whole = {**settings_of(science, *science), **settings}
    if settings.get("train.accumulate", "") is None:  # it had its usual value before it was tuned
        del whole["train.accumulate"]
    if settings.get("train", "") is None:
        whole = settings_of(science, "model", "protocol")
    edited = dataclasses.replace(
        record(), science=science, config_id=short_hash(science), settings=whole, method={}
    )
    tried = {"train.accumulate": 2, "score": 1.0, "status": "completed"}
    edited.tuning.update(chosen={"train.accumulate": 2}, candidates=[tried])
    found = contradiction(edited)
    assert found.startswith(sentence) if sentence else found == ""


def test_a_group_that_its_config_alone_has() -> None:
    science = {"protocol": {"name": "clean"}, "model": {"drop_path": 0.0}}
    edited = dataclasses.replace(record(), science=science, config_id=short_hash(science), seed=0)
    config = {**science, "model": {"name": "vit_mini", "drop_path": 0.0}, "seed": 0}
    assert config_contradiction(edited, to_yaml(config)) == ""
    config["train"] = {"epochs": 1}
    said = "it has train, and the science of the record has none"
    assert config_contradiction(edited, to_yaml(config)) == said


def test_a_split_that_nobody_scored() -> None:
    science = {"protocol": {"name": "clean", "evaluate_split": "test"}}
    scores = {"test": {"accuracy": 98.25}, "train": {"accuracy": 99.9}}
    edited = dataclasses.replace(
        record(),
        science=science,
        config_id=short_hash(science),
        scores=scores,
        method={},
        settings={"protocol.name": "clean", "protocol.evaluate_split": "test"},
    )
    assert contradiction(edited) == "train has scores, and its science scores 'test'"


def test_what_differs_by_design_is_no_contradiction() -> None:
    """References to a recipe, what tuning chose, and the settings of trials."""
    science = {**record().science, "protocol": {"name": "clean-tuning", "tune": False}}
    science["train"] = {"epochs": 0}
    trial = dataclasses.replace(
        record(),
        science=science,
        config_id=short_hash(science),
        protocol="clean-tuning",
        settings={"protocol.name": "clean", "protocol.tune": True, "train.epochs": 30},
        selection={**LAST, "epoch": 0},  # nothing is trained
        images_per_second=None,
        training={},
    )
    assert contradiction(trial) == ""
    science = {**record().science, "method": {**record().method, "targets": "tuned"}}
    science["init_from"] = {"task": "mini/cells"}
    tuned = dataclasses.replace(
        record(),
        science=science,
        config_id=short_hash(science),
        init_from=science["init_from"],
        settings={"init_from": "recipe", **settings_of(science, "optimizer", "method")},
    )
    tuned.settings["optimizer.lr"] = "recipe"
    assert contradiction(tuned) == ""


#: two of an honest search, and what it chose
TRIED: list[dict[str, Any]] = [
    {"optimizer.lr": lr, "method.scale": 0.5, "score": score, "status": status}
    for lr, score, status in ((1, 9, "completed"), (2, 8, "completed"), (3, None, "diverged"))
]
TUNING: dict[str, Any] = {
    **{"search": "grid", "trials": 3, "split": "val200", "seed": 0},
    **{"chosen": {"optimizer.lr": 1, "method.scale": 0.5}, "candidates": TRIED},
}


@pytest.mark.parametrize(
    ("tuning", "method", "sentence"),
    [
        (TUNING, {}, ""),
        ({}, {}, "its science tunes, and it does not say what was chosen"),
        (
            {**TUNING, "chosen": {"optimizer.eps": 1}},
            {},
            "its science leaves optimizer.lr to tuning",
        ),
        (
            {**TUNING, "chosen": {"optimizer.lr": 3, "method.scale": 0.5}},
            {},
            "tuning chose what it did not try",
        ),
        (
            {**TUNING, "chosen": {"optimizer.lr": 2, "method.scale": 0.5}},
            {},
            "tuning tried what scored 9, and chose 8",
        ),
        ({**TUNING, "candidates": []}, {}, "tuning chose what it did not try"),
        ({**TUNING, "trials": 999}, {}, "tuning names 3 of 999 trials"),
        (
            {**TUNING, "search": "optuna"},
            {},
            "tuning.search is 'optuna', and 'grid' by its science",
        ),
        ({**TUNING, "seed": 7}, {}, "tuning.seed is 7, and 0 by its science"),
        ({**TUNING, "split": "test"}, {}, "tuning.split is 'test', and 'val200' by its science"),
    ],
)
def test_what_tuning_chose_was_tried(
    tuning: dict[str, Any], method: dict[str, Any], sentence: str
) -> None:
    made = {"name": "of a plugin", "scale": 0.5}
    science: dict[str, Any] = {
        **{"optimizer": {"lr": "tuned"}, "method": {**made, "scale": "tuned"}},
        **{"protocol": {"name": "clean", "tune": True}, "plugins": {"method": {}}},
    }
    edited = dataclasses.replace(
        record(),
        science=science,
        config_id=short_hash(science),
        method={**made, **method},
        settings=settings_of(science, "optimizer", "method", "protocol"),
        tuning=tuning,
    )
    assert contradiction(edited).startswith(sentence)
    assert bool(contradiction(edited)) == bool(sentence)


@pytest.mark.parametrize(
    ("search", "trials", "edits", "sentence"),
    [
        ("grid", None, {}, ""),
        ("optuna", 3, {}, ""),
        ("optuna", 3, {"optimizer.lr": 1.5}, ""),
        ("elevater", None, {}, ""),
        ("grid", None, {"optimizer.lr": 1.5}, "tuning tried optimizer.lr=1.5, which its grid doe"),
        ("optuna", 3, {"optimizer.lr": 4}, "tuning tried optimizer.lr=4, which its grid does not"),
        ("elevater", None, {"optimizer.lr": 4}, "tuning tried optimizer.lr=4, which its grid doe"),
        ("optuna", 5, {}, "tuning.trials is 3, and its science asks for 5"),
        ("grid", None, {"status": "diverged"}, "a trial is 'diverged' and has the score 8"),
        ("grid", None, {"score": -40}, "a trial scored -40, which no accuracy is"),
        ("optuna", 3, {"optimizer.lr": 1}, "trial 2 tried what an earlier one did, and is another"),
    ],
)
def test_trials_are_those_that_the_science_asks_for(
    search: str, trials: int | None, edits: dict[str, Any], sentence: str
) -> None:
    tried = [TRIED[0], {**TRIED[1], **edits}, TRIED[2]]
    grid = {"lr": [1, 2, 3], "scale": [0.5], "optimizer.of_another_method": [1, 2]}
    made = record()
    made.science["protocol"] = {"tune": True, "search": search, "trials": trials, "grid": grid}
    made = dataclasses.replace(made, tuning={**TUNING, "search": search, "candidates": tried})
    assert " ".join(of_tuning(made)).startswith(sentence)
    assert bool(list(of_tuning(made))) == bool(sentence)
    if search == "grid" and not edits:
        fewer = dataclasses.replace(
            made, tuning={**made.tuning, "trials": 2, "candidates": tried[:2]}
        )
        assert list(of_tuning(fewer)) == ["tuning.trials is 2, and its science asks for 3"]


def test_what_is_left_to_tuning_is_chosen_and_a_methods_own_search_names_what_acts() -> None:
    tuned = dataclasses.replace(record(), tuning={"chosen": {"method.rank": 1}, "candidates": []})
    tuned.science["optimizer"]["lr"] = "tuned"
    assert next(of_tuning(tuned)) == "its science leaves optimizer.lr to tuning, which chose none"
    tuned = dataclasses.replace(record(), tuning={"chosen": {"method.scale": 9}})
    assert "method.scale is 1.0, and its search chose 9" in list(of_tuning(tuned))


def test_a_row_says_that_a_part_of_its_data_is_drawn() -> None:
    drawn = record()
    drawn.science["dataset"]["train_size"] = 1000
    drawn = dataclasses.replace(drawn, config_id=short_hash(drawn.science))
    assert contradiction(drawn).startswith("it has no settings.dataset.train_size, and dataset.tr")


def test_whether_the_last_batch_is_dropped_may_be_tuned() -> None:
    made = record()
    made.science["train"]["drop_last"] = "tuned"
    made.settings["train.drop_last"] = "tuned"
    made = dataclasses.replace(
        made,
        config_id=short_hash(made.science),
        data={"counts": {"train": 1000, "test": 400}},
        images_per_second=1e9,
    )
    assert "examples a second" not in contradiction(made)


@pytest.mark.parametrize(
    ("search", "primary", "sentence"),
    [
        ("grid", "accuracy", "tuning tried what scored 9, and chose 8"),
        ("grid", "mse", ""),  # the lower the better
        ("grid", "of a plugin", ""),
        ("elevater", "accuracy", "tuning tried what scored 9, and chose 8"),
        ("elevater_released", "accuracy", ""),  # a score may count for another trial
    ],
)
def test_what_is_better_is_the_metrics_to_say(search: str, primary: str, sentence: str) -> None:
    tuning = {"search": search, "chosen": {"optimizer.lr": 2}, "candidates": TRIED}
    tuned = dataclasses.replace(record(), primary=primary, tuning=tuning)
    tuned.science["optimizer"]["lr"] = "tuned"
    assert " ".join(of_tuning(tuned)) == sentence
