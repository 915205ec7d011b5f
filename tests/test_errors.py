"""User errors: the place of a mistake stands before its sentence."""

from __future__ import annotations

import pytest

from hydra_peft.errors import UserError, placed


def test_places_stand_before_a_mistake_from_the_outside_in() -> None:
    said = r"^a\.yaml: method\.rank=0: it must be positive\.$"
    with pytest.raises(UserError, match=said), placed("a.yaml:"), placed("method.rank=0:"):
        raise UserError("it must be positive.")


def test_other_errors_pass_as_they_are() -> None:
    with pytest.raises(KeyError, match=r"^'x'$"), placed("a.yaml:"):
        raise KeyError("x")
