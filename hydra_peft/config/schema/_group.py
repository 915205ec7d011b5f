"""The base of all groups of a run's config: numbers with limits, and checks of one value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from hydra_peft.errors import UserError
from hydra_peft.limits import Limits, check_limits
from hydra_peft.plain_text import shortened

#: characters of a name in records and tables, and of a refused value in a message
LONGEST = 100
#: the most are what nobody means: a slip of the keyboard would take for ever, or all memory
Classes = Annotated[int, Limits(least=1, most=1_000_000)]
Images = Annotated[int, Limits(least=1, most=100_000_000)]
Seed = Annotated[int, Limits(least=0, below=2**32)]
BatchSize = Annotated[int, Limits(least=1, most=100_000, logarithmic=True)]


def require(condition: bool, key: str, value: object, expected: str) -> None:
    """Refuse the ``value`` of ``key`` unless ``condition`` holds; say what is ``expected``."""
    if not condition:
        shown = shortened(str(value), LONGEST)
        raise UserError(f"{key}={shown} is not allowed: it must be {expected}.")


def check_short_name(key: str, value: str) -> None:
    """Check a text that names something in records and tables."""
    fits = 0 < len(value.strip()) == len(value) <= LONGEST and value.isprintable()
    require(fits, key, value, f"a name of at most {LONGEST} characters")


@dataclass(frozen=True)
class Group:
    """A group of keys: its numbers and words are compared with their limits when it is built."""

    _prefix = ""

    def __init_subclass__(cls, key: str = "") -> None:
        cls._prefix = f"{key}." if key else ""

    def __post_init__(self) -> None:
        check_limits(type(self), vars(self), self._prefix)
