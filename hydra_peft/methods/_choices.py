"""Options of methods that are one of some words."""

from __future__ import annotations

from hydra_peft.errors import UserError, did_you_mean
from hydra_peft.plain_text import quoted


def check_choice(option: str, value: str, choices: tuple[str, ...]) -> None:
    """Check that ``value`` of ``option`` is one of ``choices``."""
    if value not in choices:
        raise UserError(
            f"{option} {quoted(value)} is unknown{did_you_mean(value, choices)}: "
            f"choose one of {', '.join(choices)}."
        )
