"""Every mistake in a config is one sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hydra_peft.config.check import check_config
from hydra_peft.errors import UserError

Compose = Callable[..., Any]


def test_defaults_are_the_documented_run(compose_train: Compose) -> None:
    config = check_config(compose_train())
    assert (config.model.name, config.dataset.name, config.method.name) == (
        "vit_mini",
        "digits",
        "hydra",
    )
    assert config.method.targets == ["attn.proj", "mlp.fc2"]
    assert config.protocol.selection == "last"
    assert config.protocol.evaluate_split == "test"


def test_recipe_reaches_optimizer_and_method(compose_train: Compose) -> None:
    adapter, full = check_config(compose_train()), check_config(compose_train("method=full"))
    recipe = adapter.dataset.recipe
    assert adapter.optimizer.lr == recipe.lr["adapter"]
    assert full.optimizer.lr == recipe.lr["full"]
    changed = check_config(compose_train("dataset.recipe.dropout=0.25", "optimizer.lr=1"))
    assert changed.method.dropout == 0.25
    assert changed.optimizer.lr == 1.0
    assert isinstance(changed.optimizer.lr, float)


def test_folders_may_start_with_a_tilde(
    compose_train: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    paths = check_config(compose_train("paths.runs='~/r'", "paths.cache='~/c'")).paths
    assert (paths.runs, paths.cache) == ("/home/me/r", "/home/me/c")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["+foo=1"], "unknown key 'foo'; known here: model, method"),
        (["+method.rnak=2"], "unknown key 'method.rnak' .did you mean 'rank'"),
        (["+optimizer.lrr=1"], "unknown key 'optimizer.lrr' .did you mean 'lr'"),
        (["method.rank=x"], "method.rank: Value 'x' of type 'str'"),
        (["method.rank=1.5"], "method.rank: Value '1.5' of type 'float'"),
        (["method.rank=0"], "rank 0 of the parallel branch .* at least 1"),
        (["method.targets=attn"], "method.targets: "),
        (["method.init=gausian"], "did you mean 'gaussian'"),
        (["method.name=loar"], "did you mean 'lora'"),
        (["method.recipe=foo"], "optimizer.lr points to something that is not there"),
        (["seed=-1"], "seed=-1 is not allowed"),
        (["seed=true"], "seed=True is not allowed: it must be of type int"),
        (["device=gpu"], "device=gpu is not allowed: it must be one of auto, cpu, cuda"),
        (["precision=fp16"], "one of fp32, bf16"),
        (["optimizer.lr=-1"], "optimizer.lr=-1.0 is not allowed: it must be positive"),
        (["optimizer.lr=nan"], "optimizer.lr=nan is not allowed"),
        (["optimizer.lr=inf"], "optimizer.lr=inf is not allowed"),
        (["optimizer.betas=[0.9]"], "two numbers"),
        (["optimizer.name=sgd"], "one of adamw"),
        (["train.epochs=0"], "train.epochs=0 is not allowed"),
        (["train.epochs=2", "scheduler.warmup_epochs=2"], "leaves nothing of train.epochs=2"),
        (["dataset.recipe.epochs=2"], "leaves nothing of train.epochs=2"),
        (["train.batch_size=0"], "train.batch_size=0"),
        (["train.clip_grad=0"], "train.clip_grad"),
        (["train=3"], "'train' is a group of settings"),
        (["model=timm"], "model.architecture has no value"),
        (["model.pretrained=false", "model.checkpoint=a.npz"], "random weights have no"),
        (["model.drop_path=1"], "model.drop_path"),
        (["protocol.selection=best"], "needs protocol.evaluate_every"),
        (["protocol.selection=best", "protocol.evaluate_every=1"], "clean may not select"),
        (["protocol.train_split=test"], "one of train, train800"),
        (["protocol.evaluate_split=val200"], "val200 overlaps protocol.train_split=train"),
        (["protocol.evaluate_split=tset"], "one of train800, val200, train, test"),
        (["paths.runs=''"], "paths.runs=''"),
        (["method.scale=nan"], "method.scale=nan is not allowed: it must be at least -1,000"),
        (["method.targets=[]"], "is not a list of name patterns"),
        (["method.targets=['']"], "is not a list of name patterns"),
        (["~train.epochs"], "train.epochs has no value"),
        (["sweep.on_existing=ignore"], "one of skip, rerun, error"),
        (["dataset.recipe.epochs=abc"], "dataset.recipe.epochs: Value 'abc'"),
        (["~scheduler"], "the config has no 'scheduler'"),
    ],
)
def test_mistakes(compose_train: Compose, overrides: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        check_config(compose_train(*overrides))
    assert "\n" not in str(caught.value)
