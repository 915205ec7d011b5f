"""``key=value`` words of scripts that need no Hydra, as typed settings."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from hydra_peft.cli.arguments import parse_settings
from hydra_peft.errors import UserError


@dataclass(frozen=True)
class Settings:
    """Settings of a made-up suite."""

    repeats: int = 5
    sizes: tuple[int, ...] = (16, 64)


def test_whole_numbers() -> None:
    assert parse_settings(Settings, ["repeats=03", "sizes=1,20"], "") == Settings(3, (1, 20))


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "²", "٣", "1,", "9" * 5000, "1_000"])
def test_what_is_no_positive_whole_number_is_told(text: str) -> None:
    for key in ("repeats", "sizes"):
        with pytest.raises(UserError, match=f"^{key}=.* is not allowed: it must be .*positive"):
            parse_settings(Settings, [f"{key}={text}"], "")
