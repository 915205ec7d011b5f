"""Finding methods by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from hydra_peft.errors import UserError
from hydra_peft.methods import build_method, method_class, method_names


def test_every_method_has_a_yaml_of_its_name_and_the_other_way_round(root: Path) -> None:
    assert method_names() == sorted(path.stem for path in (root / "conf/method").glob("*.yaml"))
    assert all(method_class(name).name == name for name in method_names())


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
