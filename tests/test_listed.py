"""Names with commas between them: none is left out, none is there twice."""

from __future__ import annotations

import pytest

from hydra_peft.errors import UserError
from hydra_peft.listed import listed


def test_names_in_their_order() -> None:
    assert listed("methods", "lora, hydra ,linear") == ["lora", "hydra", "linear"]


@pytest.mark.parametrize("text", ["", ",", "lora,", ",lora", "lora,,hydra", "lora, ,hydra"])
def test_a_name_that_is_missing(text: str) -> None:
    with pytest.raises(UserError, match=f"methods='{text}' has a name missing beside a comma"):
        listed("methods", text)


def test_a_name_that_is_there_twice() -> None:
    with pytest.raises(UserError, match="methods names 'lora' twice: leave one of them out"):
        listed("methods", "lora,hydra, lora")
