"""Finding methods by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from hydra_peft.errors import UserError
from hydra_peft.methods import build_method, method_class, method_names


def test_every_method_has_a_yaml_of_its_name_and_every_yaml_names_a_method(root: Path) -> None:
    files = sorted((root / "conf/method").glob("*.yaml"))
    named = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8"))["name"] for path in files}
    assert set(method_names()) == set(named.values())  # a preset has a file name of its own
    assert all(named[name] == method_class(name).name == name for name in method_names())


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


@pytest.mark.parametrize("name", ["_base", "hydr", "../os", ""])
def test_unknown_names(name: str) -> None:
    with pytest.raises(UserError, match=r"choose one of .*full, hydra"):
        method_class(name)
