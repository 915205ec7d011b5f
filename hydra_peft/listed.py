"""Names of a command line with commas between them, read with nothing left out and none twice."""

from __future__ import annotations

from hydra_peft.errors import UserError
from hydra_peft.plain_text import quoted


def listed(key: str, text: str) -> list[str]:
    """Return the names in ``text``, without blanks around them, in their order.

    Args:
        key: what is given them, for messages.
        text: as it was typed; one name needs no comma.

    Raises:
        UserError: a name is empty, such as that of a variable of the shell that is not set, or is
            there twice.
    """
    names = [name.strip() for name in text.split(",")]
    if "" in names:
        raise UserError(
            f"{key}={quoted(text)} has a name missing beside a comma: leave the comma out, or give "
            "a name."
        )
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"{key} names {quoted(twice)} twice: leave one of them out.")
    return names
