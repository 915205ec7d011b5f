"""Finding methods by name."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from hydra_peft.config.check import check_config
from hydra_peft.errors import UserError
from hydra_peft.methods import build_method, method_class, method_names


def test_every_method_has_a_yaml_of_its_name(root: Path) -> None:
    assert all(method_class(name).name == name for name in method_names())
    for name in method_names():
        content = yaml.safe_load((root / f"conf/method/{name}.yaml").read_text(encoding="utf-8"))
        assert content["name"] == name


def test_every_other_yaml_is_a_variant_of_a_method(
    root: Path, compose_train: Callable[..., object]
) -> None:
    stems = {path.stem for path in (root / "conf/method").glob("*.yaml")}
    for variant in sorted(stems - set(method_names())):
        method = check_config(compose_train(f"method={variant}")).method
        assert variant.startswith(f"{method.name}_")
        assert method != build_method(method.name)


def test_labels_and_identity() -> None:
    assert build_method("hydra", rank=2).label == "hydra r=2+2"
    assert build_method("hydra", rank_parallel=4, rank_sequential=8).label == "hydra r=4+8"
    assert build_method("lora", rank=8).label == "lora r=8"
    assert build_method("seqlora").label == "seqlora r=6"
    assert build_method("linear").label == "linear"


def test_two_spellings_of_one_setting_are_one_identity() -> None:
    assert (
        build_method("hydra", rank=3).identity()
        == build_method("hydra", rank=7, rank_parallel=3, rank_sequential=3).identity()
    )
    assert build_method("hydra", rank=3).identity() != build_method("hydra", rank=2).identity()


@pytest.mark.parametrize("name", method_names())
def test_values_of_other_types_are_refused_in_a_short_sentence(name: str) -> None:
    other: list[Any] = [10**5000, [10**5000], b"x", {1: 1}, object(), 1j, {*range(999)}, math.nan]
    for option in dataclasses.fields(method_class(name)):
        for value in other:
            with pytest.raises(UserError, match=option.name) as caught:
                build_method(name, **{option.name: value})
            assert len(str(caught.value)) < 300


@pytest.mark.parametrize("name", ["_base", "hydr", "../os", ""])
def test_unknown_names(name: str) -> None:
    with pytest.raises(UserError, match=f"choose one of {', '.join(method_names())}"):
        method_class(name)
