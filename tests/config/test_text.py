"""A config survives being written and read, by yaml's own reader and by OmegaConf's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf

from hydra_peft.config.text import to_yaml

WORDS = ["1e3", "1E-5", "007", "1_000", ".5", "-", "12:30:45", "yes", "null", "~", "", "a: b", "é"]


@pytest.mark.parametrize("overrides", [[], ["dataset=eurosat", "protocol=paper", "method=lora"]])
def test_a_composed_config_is_written_as_omegaconf_has_it(
    compose_train: Callable[..., Any], overrides: list[str]
) -> None:
    config = compose_train(*overrides)
    values = OmegaConf.to_container(config, resolve=True)
    theirs = OmegaConf.to_yaml(config, resolve=True)
    assert yaml.safe_load(to_yaml(values)) == yaml.safe_load(theirs) == values
    assert list(yaml.safe_load(to_yaml(values))) == list(values)
    assert OmegaConf.create(to_yaml(values)) == OmegaConf.create(theirs)


@pytest.mark.parametrize("word", WORDS)
def test_words_stay_words(word: str) -> None:
    text = to_yaml({"a": {"b": [word]}})
    assert yaml.safe_load(text) == {"a": {"b": [word]}}
    assert OmegaConf.to_container(OmegaConf.create(text)) == {"a": {"b": [word]}}


@pytest.mark.parametrize("number", [1e-5, 1e16, 0.1, 3, -2.0, True, None])
def test_numbers_stay_numbers(number: object) -> None:
    (read,) = yaml.safe_load(to_yaml({"a": number})).values()
    assert (type(read), read) == (type(number), number)


def test_what_is_there_twice_is_written_twice() -> None:
    both = [1, 2]
    assert "&" not in to_yaml({"a": both, "b": both})
