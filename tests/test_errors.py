"""User errors: the place of a mistake stands before its sentence."""

from __future__ import annotations

import pytest

from hydra_peft.checkout import options
from hydra_peft.errors import UserError, did_you_mean, near, placed


def test_places_stand_before_a_mistake_from_the_outside_in() -> None:
    said = r"^a\.yaml: method\.rank=0: it must be positive\.$"
    with pytest.raises(UserError, match=said), placed("a.yaml:"), placed("method.rank=0:"):
        raise UserError("it must be positive.")


def test_other_errors_pass_as_they_are() -> None:
    with pytest.raises(KeyError, match=r"^'x'$"), placed("a.yaml:"):
        raise KeyError("x")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cifar10", ["elevater/cifar10"]),
        ("digits", ["mini/digits", "mini_fewshot/digits"]),
        ("mini/digit", ["mini/digits"]),
        ("cars", ["elevater/stanford_cars"]),
        ("elevater/pets", ["elevater/oxford_pets"]),
        ("FOOD", ["elevater/food101"]),
        ("svhnn", ["svhn"]),
        ("pet", []),
        ("", []),
    ],
)
def test_near_names_have_the_name_as_a_part_or_are_spelt_like_it(
    name: str, expected: list[str]
) -> None:
    known = options("dataset")
    assert near(name, known) == expected
    form = "' or '".join(expected)
    assert did_you_mean(name, known) == (f" (did you mean '{form}'?)" if expected else "")


@pytest.mark.parametrize(("name", "expected"), [("ranks", "rank"), ("scale", "scale")])
def test_a_plural_is_of_its_singular(name: str, expected: str) -> None:
    known = ["rank_scale", "rank_sequential", "rank", "scale"]
    assert near(name, known)[0] == expected
