"""Limits of numbers are those that their annotations say."""

from __future__ import annotations

import math
from typing import Annotated, Any

import pytest

from hydra_peft.errors import UserError
from hydra_peft.limits import Limits, Words, check_limits


class Example:
    """Every place that a number with limits may have in a config."""

    one: Annotated[int, Limits(least=1, most=2000)]
    maybe: Annotated[float, Limits(above=0, below=1)] | None
    many: list[Annotated[float, Limits(least=0, below=1)]]
    named: dict[str, list[Annotated[float, Limits(above=2.5)]]]
    word: Annotated[int, Limits(least=0)] | str
    factor: Annotated[float, Limits(least=-9, apart=1e-3)]
    free: str
    option: Annotated[str, Words("auto", "true")]


@pytest.mark.parametrize(
    "values",
    [
        {"one": 1, "maybe": None, "many": [], "named": {}},
        {"one": 2000, "maybe": 0.5, "many": [0, 0.999], "named": {"a": [3], "b": []}},
        {"free": 10**9, "unknown": math.nan},
        {"word": 0},
        {"factor": -1},
        {"factor": 1e-3},
        {"word": "robust"},
        {"option": "auto"},
        {"option": "True"},
    ],
)
def test_what_lies_in_its_range_passes(values: dict[str, Any]) -> None:
    check_limits(Example, values)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("one", 0, "x.one=0 is not allowed: it must be at least 1 and at most 2,000."),
        ("one", 2001, "x.one=2001 is"),
        ("one", True, "x.one=True is"),
        ("one", "1", "x.one=1 is"),
        ("maybe", 0, "x.maybe=0 is not allowed: it must be positive and below 1."),
        ("maybe", 1, "x.maybe=1 is"),
        ("maybe", math.nan, "x.maybe=nan is"),
        ("word", -1, "x.word=-1 is not allowed: it must be at least 0."),
        ("option", "Auto", "x.option=Auto is not allowed: it must be one of auto, true."),
        ("option", "False", "x.option=False is not"),
        ("factor", 0, "x.factor=0 is not allowed: it must be at least -9 and 0.001 or more away"),
        ("factor", -1e-300, "x.factor=-1e-300 is"),
        ("many", [0.1, 1.0], "x.many[1]=1.0 is not allowed: it must be at least 0 and below 1."),
        ("named", {"a": [3.0, 2.5]}, "x.named.a[1]=2.5 is not allowed: it must be above 2.5."),
        ("named", {"a": [math.inf]}, "x.named.a[0]=inf is"),
        pytest.param("one", 10**5000, "x.one=<thousands of digits> is", id="digits"),
    ],
)
def test_what_does_not_is_refused_by_its_key(key: str, value: Any, said: str) -> None:
    with pytest.raises(UserError) as caught:
        check_limits(Example, {key: value}, "x.")
    assert str(caught.value).startswith(said)
