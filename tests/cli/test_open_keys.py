"""Keys that no yaml lists are set in the words in which they are typed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from omegaconf import OmegaConf

Compose = Callable[..., Any]
Cli = Callable[..., tuple[int, str, str]]
GRID = "protocol.grid={method.rank:[2,6]}"


@pytest.mark.parametrize("plus", ["", "+", "++"])
@pytest.mark.parametrize(
    ("word", "key", "value"),
    [
        ("data.augment_options.scale=[0.5,1]", "data.augment_options", {"scale": [0.5, 1]}),
        ("data.augment_options={scale:[0.5,1]}", "data.augment_options", {"scale": [0.5, 1]}),
        ("method.parallel_options.rank=2", "method.parallel_options", {"rank": 2}),
        ("method.sequential_options={rank:2}", "method.sequential_options", {"rank": 2}),
        ("dataset.split_names={dev:val}", "dataset.split_names", {"dev": "val"}),
        ("dataset.split_names.dev=val", "dataset.split_names", {"dev": "val"}),
        ("model.arguments.depth=2", "model.arguments", {"depth": 2}),
        ("model.arguments={depth: 2}", "model.arguments", {"depth": 2}),
        (GRID, "protocol.grid", {"method.rank": [2, 6]}),
    ],
)
def test_no_plus_is_needed(
    compose_train: Compose, plus: str, word: str, key: str, value: dict[str, Any]
) -> None:
    found = OmegaConf.select(compose_train("dataset=folder", "method=hydra", plus + word), key)
    assert OmegaConf.to_container(found) == value


@pytest.mark.parametrize("asked", [[], ["-m"]])
@pytest.mark.parametrize(
    "words",
    [[GRID], ["~protocol.grid", f"+{GRID}"], [GRID, "protocol.grid.lr=[0.5]"]],
)
def test_a_dry_run_prints_words_that_can_be_typed(
    cli: Cli, asked: list[str], words: list[str]
) -> None:
    code, out, err = cli(*asked, "method=lora", "protocol.tune=true", *words, "sweep.dry_run=true")
    assert (code, err) == (0, "")
    typed = " ".join(words)
    assert f" {typed} " in out
    assert out.count("~") == typed.count("~")


@pytest.mark.parametrize("asked", [[], ["-m"]])
def test_an_error_names_the_key_as_it_was_typed(cli: Cli, asked: list[str]) -> None:
    grid = "protocol.grid={method.foo:[1]}"
    code, _, err = cli(*asked, "method=lora", "protocol.tune=true", grid)
    assert code == 2
    assert "unknown key 'protocol.grid.method.foo'" in err
    assert "~" not in err
    # One job, or all: no other is told apart by its words.
    assert grid not in err


def test_a_key_before_the_whole_grid_is_not_dropped_silently(cli: Cli) -> None:
    words = ["method=lora", "protocol.tune=true", "protocol.grid.lr=[0.5]", GRID]
    code, out, err = cli("-m", *words, "sweep.dry_run=true")
    assert (code, out) == (2, "")
    said = f"what 'protocol.grid.lr=[0.5]' sets is replaced by '{GRID}' after it: "
    assert f"error: {said}leave one of them out" in err
    code, _, err = cli(*words, "sweep.dry_run=true")
    assert (code, err) == (0, f"note: {said}the last counts.\n")
