"""A memo calls its function once for each key."""

from __future__ import annotations

import pytest

from hydra_peft.memo import memo


def test_arguments_without_a_hash_are_told_apart_by_value_and_type() -> None:
    calls: list[object] = []

    @memo(9)
    def kept(*args: object) -> int:
        """Return how many calls there were."""
        calls.append(args)
        return len(calls)

    assert [kept({"a": [1]}), kept({"a": [1]}), kept({"a": [1.0]}), kept({"a": [True]})] == [
        *(1, 1, 2, 3)
    ]
    one, other = type("Same", (), {}), type("Same", (), {})
    assert repr(one) == repr(other)
    assert [kept(one), kept(other), kept(one)] == [4, 5, 4]
    assert kept.__doc__ == "Return how many calls there were."


def test_a_key_leaves_out_what_does_not_decide_and_the_oldest_go_first() -> None:
    calls = []

    @memo(2, key=lambda name, load: name)  # noqa: ARG005
    def kept(name: str, load: object) -> object:
        calls.append(name)
        return load

    assert [kept("a", 1), kept("a", 2), kept("b", 3), kept("c", 4), kept("b", 5)] == [1, 1, 3, 4, 3]
    assert kept("a", 6) == 6
    assert calls == ["a", "b", "c", "a"]
    assert list(kept.found.values()) == [4, 6]


def test_what_is_raised_is_raised_again() -> None:
    calls = []

    @memo(2)
    def failing() -> None:
        calls.append(1)
        raise ValueError("again")

    for _ in range(2):
        with pytest.raises(ValueError, match="again"):
            failing()
    assert len(calls) == 2
