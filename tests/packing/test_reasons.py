"""A plan and the model itself agree on which methods may share their steps."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from hydra_peft.config.check import check_config
from hydra_peft.config.schema import RunConfig
from hydra_peft.methods import build_method, method_names
from hydra_peft.packing.model import why_alone
from hydra_peft.packing.reasons import why_not_packed
from hydra_peft.workshop.abilities import Case


@pytest.fixture(scope="module")
def config(compose_train: Callable[..., Any]) -> RunConfig:
    return check_config(compose_train("device=cpu"))


@pytest.mark.parametrize("name", method_names())
def test_a_plan_knows_what_a_model_says(config: RunConfig, name: str) -> None:
    planned = why_not_packed(dataclasses.replace(config, method=build_method(name)))
    found = why_alone(Case(name).adapted())
    assert (planned is None) == (found is None), (planned, found)
