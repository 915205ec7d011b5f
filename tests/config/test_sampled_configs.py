"""Few-shot samples in a config: their splits, their part of identities and rows, mistakes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hydra_peft.checkout import option
from hydra_peft.config.benchmarks import find_benchmark
from hydra_peft.config.check import check_config, check_recorded
from hydra_peft.config.identity import config_id, science
from hydra_peft.config.plain import as_configured
from hydra_peft.config.schema import DatasetConfig
from hydra_peft.config.typed import typed
from hydra_peft.errors import UserError
from hydra_peft.runs.expectations import untuned_rate
from hydra_peft.runs.first_look import check_data

Compose = Callable[..., Any]
FEW = ("dataset.shots=5", "dataset.sampling_seed=1")


def test_a_sample_holds_out_its_own(compose_train: Compose) -> None:
    config = check_config(compose_train(*FEW, "protocol.tune=true"))
    roles = config.dataset.splits
    assert (roles.train, roles.fit, roles.val, roles.test) == (
        "train",
        "fit_shots",
        "val_shots",
        "test",
    )
    validation = check_config(compose_train(*FEW, "protocol=validation")).protocol
    assert (validation.train_split, validation.evaluate_split) == ("fit_shots", "val_shots")
    check_data(config)  # what the source is asked for, it has


def test_the_sampling_seed_is_part_of_the_identity(compose_train: Compose) -> None:
    def made(*words: str) -> str:
        return config_id(check_config(compose_train(*words)))

    ids = {made("dataset.shots=5")}  # drawn by content
    ids |= {made("dataset.shots=5", f"dataset.sampling_seed={seed}") for seed in (0, 1, 2)}
    assert len(ids) == 4
    # Without shots it decides nothing; with it, the seed of drawing by content does not.
    assert made("dataset.sampling_seed=3") == made()
    assert made(*FEW, "dataset.split_seed=7") == made(*FEW)


def test_seeds_with_shots_of_their_own_make_one_row(compose_train: Compose) -> None:
    each = [
        check_config(compose_train("dataset.shots=5", "dataset.sampling_seed=${seed}", f"seed={s}"))
        for s in (0, 1)
    ]
    assert [config.dataset.sampling_seed for config in each] == [0, 1]
    assert each[0].settings == each[1].settings
    assert each[0].settings["dataset.sampling_seed"] == "seed"
    fixed = check_config(compose_train("dataset.shots=5", "dataset.sampling_seed=0"))
    assert fixed.settings["dataset.sampling_seed"] == 0


def test_a_recorded_sample_is_the_same(compose_train: Compose) -> None:
    config = check_config(compose_train(*FEW))
    assert science(check_recorded(as_configured(config))) == science(config)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("dataset.sampling_seed=0", "dataset.train_size=50"), "is of dataset.shots"),
        (("dataset.shots=200", "dataset.sampling_seed=0"), "is more than dataset digits has"),
        (("dataset.shots=5", "dataset.sampling_seed=-1"), "dataset.sampling_seed"),
    ],
)
def test_mistakes_are_one_sentence(
    compose_train: Compose, words: tuple[str, ...], sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        check_config(compose_train(*words))


@pytest.mark.parametrize(
    ("kind", "metric", "sentence"),
    [
        ("multilabel", "map_11point", "has several of each: use dataset.sampling_seed=0"),
        ("regression", "pearson", "has none: use dataset.train_size"),
    ],
)
def test_shots_by_content_need_one_class_each(
    compose_train: Compose, kind: str, metric: str, sentence: str
) -> None:
    dataset = check_config(compose_train()).dataset
    with pytest.raises(UserError, match=sentence):
        dataclasses.replace(dataset, kind=kind, metric=metric, shots=5, classes=1)


def test_mini_fewshot_is_mini_with_five_shots(compose_train: Compose) -> None:
    few, mini = find_benchmark("mini_fewshot"), find_benchmark("mini")
    assert few.groups == mini.groups
    for task in mini.tasks:
        yaml = option("dataset", f"mini_fewshot/{task}")
        own = {"benchmark": "mini_fewshot", "shots": 5, "sampling_seed": "${seed}"}
        own["defaults"] = [{"/recipe@recipe": "mini_fewshot"}, "_self_"]
        assert yaml == {**option("dataset", f"mini/{task}"), **own}
    config = check_config(compose_train("dataset=mini_fewshot/texture", "seed=2"))
    assert config.dataset.sampling_seed == 2
    assert config.dataset.splits.fit == "fit_shots"
    assert config.settings["dataset.sampling_seed"] == "seed"


@pytest.mark.parametrize(("model", "rate"), [("clip_mini", 1e-3), ("vit_mini", 1e-2)])
def test_rates_of_mini_fewshot_were_looked_at_on_both_embedded_backbones(
    compose_train: Compose, model: str, rate: float
) -> None:
    config = check_config(compose_train("dataset=mini_fewshot/texture", f"model={model}"))
    assert config.optimizer.lr == rate
    assert untuned_rate(config) == ""
    other = check_config(compose_train("dataset=mini/texture", "model=clip_mini"))
    assert "is not tuned for clip_mini" in untuned_rate(other)


def test_fewshot_real_draws_anew_for_each_seed(compose_train: Compose) -> None:
    words = ("+experiment=fewshot_real", "dataset=real/elpv", "dataset.shots=20", "seed=1")
    config = check_config(compose_train(*words))
    assert (config.dataset.shots, config.dataset.sampling_seed) == (20, 1)
    sweep = option("experiment", "fewshot_real")["hydra"]["sweeper"]["params"]
    assert sweep["dataset.shots"] == "1,5,20"
    assert sweep["seed"] == "0,1,2"


def test_tasks_of_elevater_are_those_of_table_14(root: Path) -> None:
    printed = pd.read_csv(root / "results/paper/table14_elevater_datasets.csv")
    rows = {row.dataset: row for row in printed.itertuples()}
    names = find_benchmark("elevater").paper.data_sets["table14"].tasks
    stated = option("recipe", "elevater")["by_task"]
    seen = {}
    for name, task in names.items():
        if task is None:
            continue
        yaml = option("dataset", f"elevater/{task}")
        values = {key: value for key, value in yaml.items() if key != "defaults"}
        of_task = {key: found[task] for key, found in stated.items()}
        lr = dict.fromkeys(("adapter", "linear", "full"), of_task["lr"])
        recipe = {**option("recipe", "elevater"), **of_task, "lr": lr}
        dataset = typed(DatasetConfig, {**values, "recipe": recipe, "sampling_seed": 0}, "dataset")
        sizes = (rows[name].train_size, rows[name].test_size)
        assert (dataset.sizes["train"], dataset.sizes["test"]) == sizes
        assert dataset.classes == rows[name].labels + (task == "caltech101")  # a background
        assert (dataset.shots, yaml["sampling_seed"]) == (5, "${seed}")
        assert dataset.crop == (task != "kitti_distance")
        seen[task] = dataset.metric
    assert set(seen) == set(find_benchmark("elevater").tasks)
    stated = find_benchmark("elevater").paper.metrics
    assert {task: metric for task, metric in seen.items() if metric != "accuracy"} == stated


def test_cropping_is_the_tasks_own_unless_it_is_said(compose_train: Compose) -> None:
    usual, cropped = (check_config(compose_train(*words)) for words in ((), ("data.crop=true",)))
    kitti, dtd = (
        check_config(compose_train(f"dataset=elevater/{task}"))
        for task in ("kitti_distance", "dtd")
    )
    found = [one.data.crops(one.dataset) for one in (usual, cropped, kitti, dtd)]
    assert found == [False, True, False, True]
    assert config_id(usual) != config_id(cropped)
    assert cropped.settings["data.crop"] == "true"
    assert "data.crop" not in usual.settings
    assert kitti.settings == dtd.settings  # one row
    with pytest.raises(UserError, match=r"data\.crop=maybe is not allowed"):
        check_config(compose_train("data.crop=maybe"))
