"""Same id if and only if same science."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hydra_peft.config.check import check_config
from hydra_peft.config.identity import config_id, settings_id
from hydra_peft.config.schema import RunConfig
from hydra_peft.errors import UserError

Compose = Callable[..., Any]


@pytest.mark.parametrize(
    "overrides",
    [
        ["paths.runs=/elsewhere"],
        ["paths.cache=/elsewhere"],
        ["device=cpu"],
        ["sweep.on_existing=rerun"],
        ["model.checkpoint=/elsewhere/weights.safetensors"],
        ["model.name=other"],
        ["optimizer.lr=0.002"],
        ["optimizer.lr=2e-3"],
        ["method.rank=5", "method.rank_parallel=2", "method.rank_sequential=2"],
        ["scheduler.min_lr=0"],
        ["method.targets=[mlp.fc2,attn.proj]"],
    ],
)
def test_what_is_not_science_keeps_the_id(compose_train: Compose, overrides: list[str]) -> None:
    base = check_config(compose_train("optimizer.lr=0.002"))
    assert config_id(check_config(compose_train("optimizer.lr=0.002", *overrides))) == config_id(
        base
    )


@pytest.mark.parametrize(
    "override",
    [
        "seed=1",
        "precision=bf16",
        "dataset=mini/texture",
        "dataset.classes=20",
        "dataset.group=other",
        "method=lora",
        "method.rank=3",
        "method.rank_sequential=3",
        "method.scale=2",
        "method.dropout=0.1",
        "method.bias=false",
        "method.init=xavier",
        "method.targets=[mlp.fc2]",
        "model.pretrained=false",
        "model.drop_path=0.1",
        "model=vit_base_patch32_224_in21k",
        "+model.arguments.depth=3",
        "optimizer.lr=1e-4",
        "optimizer.weight_decay=0",
        "optimizer.eps=1e-6",
        "scheduler.warmup_epochs=0",
        "scheduler.min_lr=1e-5",
        "protocol=validation",
        "train.epochs=31",
        "train.batch_size=16",
        "train.drop_last=true",
        "train.clip_grad=1",
        "train.label_smoothing=0.1",
        "train.accumulate=2",
        "data.augment=flip",
    ],
)
def test_science_changes_the_id(compose_train: Compose, override: str) -> None:
    base, changed = check_config(compose_train()), check_config(compose_train(override))
    assert config_id(changed) != config_id(base)


@pytest.mark.parametrize(
    ("overrides", "id"),
    [
        ([], "8808f9ad4393"),
        (["method=linear", "protocol=validation", "seed=3"], "7fa6749db73e"),
        (["dataset=dtd", "protocol=official", "method=lora"], "89d7c1d1a78a"),
        (["protocol.tune=true"], "56f79f2ca140"),
        (
            [
                "dataset=dtd",
                "protocol.tune=true",
                "method=lora",
                "protocol.grid.optimizer.lr=[1e-3]",
            ],
            "c502d13e1bf0",
        ),
    ],
)
def test_ids_of_before_optuna_are_what_they_were(
    compose_train: Compose, overrides: list[str], id: str
) -> None:
    # Where conf changes what these runs do, the ids change with it; keys alone must not do that.
    assert config_id(check_config(compose_train(*overrides, "precision=fp32"))) == id
    unused = ["protocol.trials=3"]
    if "protocol.tune=true" not in overrides:
        unused.append("protocol.search=optuna")
    config = check_config(compose_train(*overrides, *unused, "precision=fp32"))
    assert config_id(config) == id
    assert not {"protocol.search", "protocol.trials"} & set(config.settings)


def test_augmentation_counts_with_all_its_options_where_there_is_one(
    compose_train: Compose,
) -> None:
    def config(*overrides: str) -> RunConfig:
        return check_config(compose_train(*overrides))

    assert "data.augment" not in config("data.augment=none").settings
    crop = config("data.augment=crop", "+data.augment_options.scale=[0.5,1]")
    options = {"scale": [0.5, 1.0], "ratio": [3 / 4, 4 / 3], "flip": 0.0}
    assert crop.settings["data.augment_options"] == options
    by_hand = {f"+data.augment_options.{key}={value}" for key, value in options.items()}
    assert config_id(config("data.augment=crop", *by_hand)) == config_id(crop)
    others = [["data.augment=crop"], ["data.augment=flip"], ["data.augment=randaugment"]]
    assert len({config_id(crop), *(config_id(config(*words)) for words in others)}) == 4


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["data.augment=flp"], "data.augment 'flp' is unknown .did you mean 'flip'"),
        (
            ["+data.augment_options.flip=1"],
            "data.augment=none: it is of data.augment=crop, flip",
        ),
        (["data.augment=crop", "+data.augment_options.scal=1"], "did you mean 'scale'"),
        (["data.augment=crop", "+data.augment_options.scale=1"], "single value where a list"),
        (["data.augment=flip", "+data.augment_options.flip=often"], "must be a number"),
        (["data.augment=flip", "+data.augment_options.flip=2"], "at least 0 and at most 1"),
        (["data.augment=[flip]"], "data.augment=.* must be one of crop, flip"),
        (["data.augment_options=3"], "must be a group of settings"),
    ],
)
def test_augmentations_that_cannot_be_are_sentences(
    compose_train: Compose, words: list[str], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        check_config(compose_train(*words))


def test_a_search_by_optuna_counts_with_its_trials(compose_train: Compose) -> None:
    def id_of(*overrides: str) -> str:
        return config_id(check_config(compose_train("protocol.tune=true", *overrides)))

    drawn = ("protocol.search=optuna",)
    ids = {id_of(), id_of(*drawn), id_of(*drawn, "protocol.trials=21")}
    assert len(ids) == 3
    assert id_of(*drawn, "protocol.trials=20") == id_of(*drawn, "optimizer.lr=1") == id_of(*drawn)


def test_settings_are_one_table_row_whatever_the_task_recipe(compose_train: Compose) -> None:
    base = check_config(compose_train())
    same = check_config(compose_train("seed=7", "dataset=mini/texture", "dataset.recipe.scale=3"))
    assert settings_id(same.settings) == settings_id(base.settings)
    assert config_id(same) != config_id(base)
    other = check_config(compose_train("method.scale=3"))
    assert settings_id(other.settings) != settings_id(base.settings)
