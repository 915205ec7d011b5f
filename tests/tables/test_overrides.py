"""What a row's label says of its settings, against defaults given by hand."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from vtab1k_records import vtab_record

from hydra_peft.runs.record import Record
from hydra_peft.tables.left_out import filled
from hydra_peft.tables.overrides import Origin, marks

DEFAULTS = {
    "method.name": "hydra",
    "method.rank_parallel": 2,
    "method.targets": ["attn.proj", "mlp.fc2"],
    "model.arguments": {},
    "model.pretrained": True,
    "optimizer.lr": "recipe",
    "protocol.tune": False,
    "scheduler.period_epochs": None,
    "train.drop_last": False,
    "train.epochs": "recipe",
}


def run(**changes: Any) -> Record:
    return vtab_record("Hydra", "dtd", 1.0, settings={**DEFAULTS, **changes})


def found(record: Record, defaults: dict[str, Any] = DEFAULTS) -> tuple[str, ...]:
    return marks(record, {Origin.of(record): defaults})


@pytest.mark.parametrize(
    ("changes", "marked"),
    [
        ({}, ()),
        ({"train.epochs": 2}, ("train.epochs=2",)),
        ({"train.drop_last": True}, ("train.drop_last=true",)),
        ({"scheduler.period_epochs": 5}, ("scheduler.period_epochs=5",)),
        ({"method.targets": ["mlp.fc1", "mlp.fc2"]}, ("method.targets=[mlp.fc1,mlp.fc2]",)),
        ({"model.arguments": {"img_size": 32}}, ("model.arguments.img_size=32",)),
        ({"train.epochs": 2, "optimizer.lr": 1e-2}, ("optimizer.lr=0.01", "train.epochs=2")),
        ({"optimizer.of_old": 1}, ("optimizer.of_old=1",)),
        ({"data.augment": "flip", "data.augment_options": {"flip": 0.5}}, ("data.augment=flip",)),
        (
            {"data.augment": "randaugment", "data.augment_options": {"number": 2, "magnitude": 5}},
            ("data.augment=randaugment", "data.augment_options.magnitude=5"),
        ),
        (
            {"data.augment": "of_old", "data.augment_options": {"x": 5}},
            ("data.augment=of_old", "data.augment_options.x=5"),
        ),
        # What tables show in another place.
        ({"method.rank_parallel": 8, "model.pretrained": False}, ()),
    ],
)
def test_every_difference_is_named(changes: dict[str, Any], marked: tuple[str, ...]) -> None:
    assert found(run(**changes)) == marked


@pytest.mark.parametrize(
    ("changes", "marked"),
    [
        ({}, ()),
        ({"method.targets": ["mlp.fc2"], "method.bias": False}, ("method=hydra_own",)),
        ({"method.targets": ["mlp.fc2"]}, ("method.targets=[mlp.fc2]",)),
        (
            {"method.targets": ["mlp.fc2"], "method.bias": False, "train.epochs": 2},
            ("method=hydra_own", "train.epochs=2"),
        ),
    ],
)
def test_a_variant_is_named_where_that_is_shorter(
    changes: dict[str, Any], marked: tuple[str, ...]
) -> None:
    usual = {**DEFAULTS, "method.bias": True}
    record = run(**{"method.bias": True, **changes})
    origin = Origin.of(record)
    own = {**usual, "method.targets": ["mlp.fc2"], "method.bias": False}
    variant = dataclasses.replace(origin, variant="hydra_own")
    assert marks(record, {origin: usual, variant: own}) == marked


def test_the_task_of_the_adapter_that_was_started_from_is_named() -> None:
    start = {"task": "glue/mnli", "settings": "0" * 12}
    settings = {f"init_from.{key}": value for key, value in start.items()}
    started = dataclasses.replace(run(**settings), init_from=start)
    assert found(started) == ("init_from=glue/mnli",)
    assert marks(started, {}) == ("init_from=glue/mnli", "SETTINGS NOT CHECKED")


def test_the_shape_of_a_text_encoder_of_ones_own_is_no_override() -> None:
    shape = {"hidden_size": 16, "num_attention_heads": 2}
    own = {"model.architecture": "bert", "head.name": "roberta", "head.dropout": 0.1}
    assert found(run(**own, **{"model.arguments": shape})) == ()
    pooled = {**own, "head.dropout": 0.0, "model.arguments": {**shape, "pooling": "mean"}}
    assert found(run(**pooled)) == ("head.dropout=0.0", "model.arguments.pooling=mean")


def test_a_start_that_the_recipe_says_is_named_once_for_all_tasks() -> None:
    start = {"task": "glue/mnli", "settings": "0" * 12}
    started = dataclasses.replace(run(init_from="recipe"), init_from=start)
    assert found(started) == found(run(init_from="recipe")) == ("init_from=recipe",)


def test_what_a_method_chose_itself_is_named_by_the_option_that_asked_for_it() -> None:
    searched = {"method.search": "evolution", "method.rank": "tuned"}
    usual = {**DEFAULTS, "method.search": "none", "method.rank": 5}
    assert found(run(**searched), usual) == ("method.search=evolution",)


def test_what_a_grid_leaves_out_is_named_only_where_it_is_not_the_methods_default() -> None:
    tuned = {"protocol.tune": True, "protocol.grid": {"lr": [1]}, "optimizer.lr": "tuned"}
    usual = {**DEFAULTS, **tuned, "method.name": "adaptformer", "method.scale": "tuned"}
    own = {**usual, "method.scale": 0.1}
    assert found(run(**own), usual) == ("tuned",)
    assert found(run(**{**own, "method.scale": 0.2}), usual) == ("tuned", "method.scale=0.2")
    lora = {**usual, "method.name": "lora"}
    assert found(run(**{**lora, "method.scale": "recipe"}), lora) == ("tuned",)


def test_a_tuned_run_says_so_and_names_its_grid_only_where_it_is_another() -> None:
    tuned = {"protocol.tune": True, "optimizer.lr": "tuned", "protocol.grid": {"lr": [1], "s": []}}
    usual = {**DEFAULTS, **tuned}
    assert found(run(**tuned), usual) == ("tuned",)
    other = run(**tuned | {"protocol.grid": {"lr": [1, 2], "s": []}, "train.epochs": 2})
    assert found(other, usual) == ("tuned", "protocol.grid.optimizer.lr=[1,2]", "train.epochs=2")


@pytest.mark.parametrize(
    ("chosen", "own", "marked"),
    [
        ("optimizer", {"name": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": False}, ("lr=0.1",)),
        ("optimizer", {"name": "sgd", "lr": 0.1, "momentum": 0.5}, ("lr=0.1", "momentum=0.5")),
        ("scheduler", {"name": "constant", "warmup_lr": 0.0, "warmup_epochs": 0}, ()),
        ("head", {"name": "prototypes", "norm": "unit", "scale": 10.0}, ()),
    ],
)
def test_the_defaults_of_what_was_chosen_are_not_named(
    chosen: str, own: dict[str, Any], marked: tuple[str, ...]
) -> None:
    settings = {f"{chosen}.{key}": value for key, value in own.items()}
    usual = {**DEFAULTS, "optimizer.name": "adamw", "scheduler.name": "cosine"}
    named = found(run(**{**usual, **settings}), usual)
    expected = sorted([*(f"{chosen}.{mark}" for mark in marked), f"{chosen}.name={own['name']}"])
    assert list(named) == expected


@pytest.mark.parametrize(
    ("usual", "own", "marked"),
    [
        (
            {},
            {"head.name": "prototypes", "head.norm": "unit"},
            ("head.name=prototypes", "scale=1.0"),
        ),
        (
            {},
            {"head.name": "prototypes", "head.scale": 10.0},
            ("head.name=prototypes", "norm=none"),
        ),
        ({"head.name": "roberta", "head.dropout": 0.1}, {}, ("head.name=linear",)),
        ({"head.name": "text_prompts", "head.norm": "batch"}, {}, ("head.name=linear",)),
        ({"optimizer.decay": "weights"}, {}, ("optimizer.decay=all",)),
        ({"scheduler.warmup_ratio": 0.06}, {}, ("scheduler.warmup_ratio=0.0",)),
        ({"method.dropout_at": "input"}, {}, ("method.dropout_at=rank",)),
    ],
)
def test_what_a_record_leaves_out_has_the_value_that_held_before(
    usual: dict[str, Any], own: dict[str, Any], marked: tuple[str, ...]
) -> None:
    chosen = {"optimizer.name": "adamw", "scheduler.name": "cosine", "method.name": "lora"}
    named = found(run(**{**DEFAULTS, **chosen, **own}), {**DEFAULTS, **chosen, **usual})
    assert len(named) == len(marked)
    assert all(name.endswith(mark) for name, mark in zip(named, marked, strict=True))


@pytest.mark.parametrize(
    ("usual", "own", "marked"),
    [
        ({"train.eval_after": 1}, {}, ("train.eval_after=null",)),
        ({"model.antialias": False}, {}, ("model.antialias=true",)),
        ({"dataset.shots": 5, "dataset.sampling_seed": "seed"}, {}, ("dataset.shots=null",)),
        (
            {"dataset.shots": 5, "dataset.sampling_seed": "seed"},
            {"dataset.shots": 3},
            ("dataset.sampling_seed=null", "dataset.shots=3"),
        ),
    ],
)
def test_what_a_task_or_model_has_by_default_and_a_run_has_not_is_named(
    usual: dict[str, Any], own: dict[str, Any], marked: tuple[str, ...]
) -> None:
    assert found(run(**own), {**DEFAULTS, **usual}) == marked


def test_what_a_yaml_takes_from_another_is_no_override() -> None:
    chosen = {"optimizer.name": "sgd", "scheduler.name": "constant"}
    own = {**DEFAULTS, **chosen, "scheduler.name": "cosine", "scheduler.warmup_epochs": "recipe"}
    named = found(run(**own), {**DEFAULTS, **chosen})
    assert [name for name in named if "warmup_epochs" in name] == []
    assert "scheduler.name=cosine" in named


def test_a_linear_schedule_has_no_period() -> None:
    own = filled({"scheduler.name": "linear"})
    assert own["scheduler.warmup_ratio"] == 0.0
    assert "scheduler.period_epochs" not in own


def test_what_tuning_chose_out_of_a_grid_that_is_named_is_not_named_twice() -> None:
    tuned = {"protocol.tune": True, "optimizer.lr": "tuned", "optimizer.weight_decay": "tuned"}
    other = run(**tuned | {"protocol.grid": {"optimizer.weight_decay": [0.1, 0.2]}})
    usual = {**DEFAULTS, "protocol.tune": True, "optimizer.lr": "tuned", "protocol.grid": {}}
    assert found(other, usual) == ("tuned", "protocol.grid.optimizer.weight_decay=[0.1,0.2]")


def test_a_method_that_tuning_chose_as_a_part_is_named_once() -> None:
    tuned = {"protocol.tune": True, "optimizer.lr": "tuned", "method.parallel": "tuned"}
    usual = {**DEFAULTS, **tuned, "method.parallel": {"name": "lora", "scale": 1.0}}
    assert found(run(**tuned), usual) == ("tuned", "method.parallel=tuned")


def test_a_search_by_optuna_is_told_from_one_by_grid() -> None:
    tuned = {"protocol.tune": True, "optimizer.lr": "tuned", "protocol.grid": {"lr": [1, 2]}}
    drawn = {**tuned, "protocol.search": "optuna", "protocol.trials": 20}
    usual = {**DEFAULTS, **drawn}
    assert found(run(**drawn), usual) == ("tuned by optuna",)
    assert found(run(**drawn | {"protocol.trials": 5}), usual) == (
        "tuned by optuna",
        "protocol.trials=5",
    )
    origins = {Origin.of(run(**drawn)): usual, Origin.of(run(**tuned)): {**DEFAULTS, **tuned}}
    assert marks(run(**drawn), origins) == ("tuned by optuna",)
    assert marks(run(**tuned), origins) == ("tuned",)


def test_an_option_that_older_code_did_not_have_is_no_difference() -> None:
    old = vtab_record("Hydra", "dtd", 1.0, settings={"train.epochs": "recipe"})
    assert found(old) == ()


def test_settings_that_nothing_can_be_held_against_are_marked() -> None:
    assert marks(run(), {}) == ("SETTINGS NOT CHECKED",)
