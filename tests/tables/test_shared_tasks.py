"""What means are over: all tasks, or those that rows share."""

from __future__ import annotations

import pytest

from hydra_peft.tables.measures import measure_of
from hydra_peft.tables.rows import Row
from hydra_peft.tables.shared_tasks import shared_tasks


def row(tasks: str, *seeds: int) -> Row:
    """A row with runs on each task that a letter of ``tasks`` names."""
    scores = {task: dict.fromkeys(seeds or (0,), 50.0) for task in tasks}
    return Row("any", "vit_mini", "pretrained", {}, scores=scores)


def shared(rows: list[Row], tasks: str) -> str:
    accuracy = dict.fromkeys(tasks, measure_of("accuracy"))
    return "".join(shared_tasks(rows, dict.fromkeys(tasks, "natural"), accuracy))


@pytest.mark.parametrize(
    ("rows", "tasks", "expected"),
    [
        # Nothing is missing.
        (["abc", "abc"], "abc", "abc"),
        (["abc"], "abc", "abc"),
        # A stray run on a task of its own, or on one that a complete row has as well.
        (["ab", "ab", "ab", "ab", "c"], "abc", "ab"),
        (["ab", "ab", "ab", "abc"], "abc", "ab"),
        (["ab", "ab", "ab", "ab", "c", "d", "e"], "abcde", "ab"),
        (["ab", "ab", "a", "a", "c"], "abc", "ab"),
        (["abc", "ab", "a", "a"], "abc", "ab"),
        (["abcd", "a", "a"], "abcd", "a"),
        # Whoever lacks a task loses the mean, not the others, where two have all.
        (["abc", "abc", "a"], "abc", "abc"),
        (["abc", "abc", "a", "a", "a", "a", "a", "a"], "abc", "abc"),
        # Rows that are still being filled share what they have.
        (["abcd", "abc"], "abcd", "abc"),
        (["bcd", "acd", "abd"], "abcd", "ad"),
        # A row beside others that have hardly begun: where it is alone nothing compares.
        (["abc", "a"], "abc", "a"),
        (["abcdef", "ab", "bc"], "abcdef", "ab"),
        (["ab", "c"], "abc", "ab"),
        # Nothing is shared.
        (["a", "b"], "ab", "ab"),
    ],
)
def test_shared_tasks(rows: list[str], tasks: str, expected: str) -> None:
    assert shared([row(one) for one in rows], tasks) == expected


def test_tasks_without_a_common_seed_make_no_mean() -> None:
    apart = Row("any", "m", "w", {}, scores={"a": {0: 1.0}, "b": {1: 1.0}})
    assert shared([apart, row("ab"), row("ab")], "ab") == "ab"
    assert shared([apart], "ab") == "ab"
    assert shared([apart, row("a")], "ab") == "a"
