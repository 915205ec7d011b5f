"""Which split plays which role, and what follows from it."""

from __future__ import annotations

from typing import Any

import pytest

from hydra_peft.data.split_roles import BEFORE, SplitRoles, role_of
from hydra_peft.errors import UserError

#: MNLI, whose scored splits come from the public validation sets
MNLI = SplitRoles(train="train", test="matched", further=["mismatched"])


def test_parts_of_the_training_data_are_apart_from_each_other_and_from_what_is_scored() -> None:
    assert BEFORE.parts() == ("train800", "val200")
    assert set(BEFORE.apart()) == {
        ("train800", "val200"),
        ("train", "test"),
        ("train800", "test"),
        ("val200", "test"),
    }
    assert BEFORE.part_of()["train"] == ("train", "train800", "val200")
    assert BEFORE.part_of()["train800"] == ("train800", "train")
    assert BEFORE.names() == ("train800", "val200", "train", "test")


def test_a_set_that_is_held_out_of_its_own_is_no_part_of_the_training_data() -> None:
    roles = SplitRoles(train="train", test="test", fit="train", val="dev")
    assert roles.parts() is None
    assert roles.part_of() == {"train": ("train",)}
    assert set(roles.apart()) == {("train", "dev"), ("train", "test"), ("dev", "test")}


def test_further_splits_are_scored_beside_test_and_apart_from_training_data() -> None:
    assert set(MNLI.apart()) == {("train", "matched"), ("train", "mismatched")}
    assert MNLI.scored_beside("matched") == ("mismatched",)
    assert MNLI.scored_beside("mismatched") == ()
    assert MNLI.labelled() == {"train"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"val": "dev"}, "dataset.splits.fit is missing"),
        ({"fit": "part"}, "dataset.splits.val is missing"),
        ({"test": "train"}, "gives 'train' two roles"),
        ({"further": ["test"]}, "gives 'test' two roles"),
        ({"fit": "part", "val": "part"}, "gives 'part' two roles"),
        ({"fit": "part", "val": "train"}, "gives 'train' two roles"),
    ],
)
def test_roles_that_exclude_each_other_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        SplitRoles(**{"train": "train", "test": "test", **values})


def test_the_role_of_a_split_is_found_in_whatever_a_record_holds() -> None:
    assert role_of("val200", None) == "val"
    assert role_of("val200", {"val": "dev"}) == "val200"
    assert role_of("mismatched", vars(MNLI)) == "further"
    assert role_of("matched", vars(MNLI)) == "test"
    assert role_of("x", {"further": "x", "test": ["x"]}) == "x"
