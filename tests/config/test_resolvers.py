"""The functions that ``conf`` calls in its interpolations."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from omegaconf import OmegaConf

from hydra_peft.config.resolvers import register_resolvers


def test_all_of_a_config_is_resolved_in_its_place(compose_train: Callable[..., Any]) -> None:
    """As ``--cfg job --resolve`` does; values that are lists are lists there."""
    config = copy.deepcopy(compose_train("dataset=mini/digits"))
    expected = OmegaConf.to_container(config, resolve=True)
    OmegaConf.resolve(config)
    assert OmegaConf.to_container(config, resolve=False) == expected
    assert config.dataset.recipe.grid.lr.adapter == [2e-3, 5e-3, 1e-2]


def test_what_was_tuned_holds_on_its_architecture() -> None:
    register_resolvers()
    for architecture, one, several in (("vit_mini", 1, [2, 3]), ("other", 4, [5])):
        config = OmegaConf.create(
            {
                "on": architecture,
                "one": "${tuned_on:${on},vit_mini,1,4}",
                "several": "${tuned_on:${on},vit_mini,[2,3],[5]}",
            }
        )
        assert (config.one, config.several) == (one, several)
