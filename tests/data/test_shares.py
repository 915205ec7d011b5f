"""Splits by shares, and what is drawn of training data."""

from __future__ import annotations

import hashlib
from collections import Counter

import pytest

from hydra_peft.data.shares import allot, by_content, check_shares, draw, draw_each, wanted_shares
from hydra_peft.errors import UserError

ALL = {"train": 0.8, "val": 0.1, "test": 0.1}


def contents(count: int) -> list[bytes]:
    return [hashlib.sha256(str(number).encode()).digest() for number in range(count)]


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (100, (80, 10, 10)),
        (30, (24, 3, 3)),
        (5, (3, 1, 1)),
        (3, (1, 1, 1)),
        (2, (1, 0, 1)),
        (1, (1, 0, 0)),
    ],
)
def test_each_part_has_its_share_of_a_class_and_small_classes_are_trained_on(
    count: int, expected: tuple[int, int, int]
) -> None:
    found = allot(count, ALL)
    assert tuple(found[name] for name in ("train", "val", "test")) == expected


@pytest.mark.parametrize("count", range(1, 12))
def test_no_share_takes_more_than_there_is(count: int) -> None:
    found = allot(count, {"train": 0.02, "val": 0.49, "test": 0.49})
    assert sum(found.values()) == count
    assert min(found.values()) >= 0
    assert found["train"] >= 1


def test_shares_of_what_is_missing_are_those_among_what_is_left() -> None:
    assert wanted_shares([0.8, 0.1, 0.1], ["train"]) == pytest.approx(ALL)
    found = wanted_shares([0.6, 0.2, 0.2], ["train", "test"])
    assert found == pytest.approx({"train": 0.75, "val": 0.25})
    assert wanted_shares([0.9, 0, 0.1], ["train", "val", "test"]) == {"train": 1}


@pytest.mark.parametrize("wrong", [[0.8, 0.2], [0.8, 0.1, 0.2], [1.2, -0.1, -0.1], [0, 0.5, 0.5]])
def test_wrong_shares_are_told(wrong: list[float]) -> None:
    with pytest.raises(UserError, match=r"dataset\.split=.* add up to 1"):
        check_shares(wrong)


def test_a_split_is_stratified_complete_and_depends_on_content_and_seed_alone() -> None:
    labels = [0] * 40 + [1] * 20
    found = by_content(labels, contents(60), ALL, seed=0)
    assert sorted(row for rows in found.values() for row in rows) == list(range(60))
    counts = {name: Counter(labels[row] for row in rows) for name, rows in found.items()}
    assert counts == {
        "train": {0: 32, 1: 16},
        "val": {0: 4, 1: 2},
        "test": {0: 4, 1: 2},
    }
    # listed backwards, the same examples are in each part
    turned = by_content(labels[::-1], contents(60)[::-1], ALL, seed=0)
    assert {n: {59 - row for row in rows} for n, rows in turned.items()} == {
        name: set(rows) for name, rows in found.items()
    }
    assert by_content(labels, contents(60), ALL, seed=1) != found


def test_what_is_drawn_is_in_proportion_and_grows() -> None:
    labels = [0] * 80 + [1] * 20
    some = draw(labels, contents(100), count=25, seed=0)
    assert Counter(labels[row] for row in some) == {0: 20, 1: 5}
    assert some == sorted(some)
    more = draw(labels, contents(100), count=50, seed=0)
    assert set(some) < set(more)
    assert draw(labels, contents(100), count=25, seed=1) != some
    two = draw(labels, contents(100), count=2, seed=0)
    assert {labels[row] for row in two} == {0, 1}


def test_shots_are_so_many_a_class() -> None:
    labels = [0] * 80 + [1] * 20
    found = draw_each(labels, contents(100), shots=5, seed=0)
    assert Counter(labels[row] for row in found) == {0: 5, 1: 5}
    with pytest.raises(UserError, match="20 training examples of class 1"):
        draw_each(labels, contents(100), shots=21, seed=0)
