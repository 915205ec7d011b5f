"""A checked config crosses processes and comes out of a run's folder as it was."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from hydra_peft.config.check import check_config, check_recorded
from hydra_peft.config.identity import config_id
from hydra_peft.config.plain import as_configured, as_plain, from_plain
from hydra_peft.config.text import to_yaml
from hydra_peft.errors import UserError
from hydra_peft.methods import build_method, method_names

Compose = Callable[..., Any]


@pytest.mark.parametrize("method", method_names())
def test_every_method_comes_back_as_it_was(compose_train: Compose, method: str) -> None:
    # That yaml gives what is built by name has a test of its own.
    config = dataclasses.replace(check_config(compose_train()), method=build_method(method))
    crossed = from_plain(json.loads(json.dumps(as_plain(config))))
    assert crossed == config
    assert type(crossed.method) is type(config.method)
    written = check_recorded(yaml.safe_load(to_yaml(as_configured(config))))
    assert dataclasses.replace(written, settings=config.settings) == config
    assert config_id(written) == config_id(config)


@pytest.mark.parametrize(
    "words",
    [
        ["protocol=official"],
        ["protocol.tune=true", "launcher.gpus=[0]"],
        ["model=timm", "model.architecture=vit_tiny_patch16_224", "+model.arguments.img_size=64"],
        ["optimizer=sgd", "optimizer.lr=0.1", "scheduler=linear", "dataset=dtd"],
    ],
)
def test_what_a_run_was_told_comes_back(compose_train: Compose, words: list[str]) -> None:
    config = check_config(compose_train(*words))
    assert from_plain(json.loads(json.dumps(as_plain(config)))) == config


def test_a_key_that_is_none_is_refused(compose_train: Compose) -> None:
    values = as_plain(check_config(compose_train()))
    with pytest.raises(UserError, match="unknown key '_target_'"):
        from_plain({**values, "_target_": "os.system"})
