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


def test_numbers_spaced_by_their_logarithm() -> None:
    register_resolvers()
    found = OmegaConf.create({"a": "${log_spaced:-6,6,97}", "b": "${log_spaced:-6,-1,6}"})
    decays = list(found.a)
    assert len(decays) == 97
    assert decays[:2] + decays[-1:] == [1e-6, 1.33352e-6, 1e6]
    # Those that Table 11 prints: 3.16e-4, 1.33e-6, 3.16e-1.
    assert [f"{decays[at]:.2e}" for at in (20, 1, 44)] == ["3.16e-04", "1.33e-06", "3.16e-01"]
    assert list(found.b) == [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1]
