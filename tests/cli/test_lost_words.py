"""A word of which a later one leaves nothing is said, and one that counts beside it is not."""

from __future__ import annotations

import pytest

from hydra_peft.cli.lost_words import check_none_lost, lost
from hydra_peft.errors import UserError

GRID = "protocol.grid={method.rank:[2,6]}"
LEAVE_OUT = "leave one of them out"
OTHER_ORDER = f"{LEAVE_OUT}, or give them in the other order"


@pytest.mark.parametrize(
    ("first", "last", "does", "advice"),
    [
        ("protocol.grid.optimizer.lr=[1e-3,1e-2]", GRID, "replaced", OTHER_ORDER),
        ("protocol.grid.optimizer.lr=[1e-3]", f"+{GRID}", "replaced", OTHER_ORDER),
        ("data.augment_options.flip=0", "data.augment_options=null", "replaced", OTHER_ORDER),
        ("data.augment_options={flip:0}", "data.augment_options=null", "replaced", OTHER_ORDER),
        ("hydra.job_logging.root.level=INFO", "hydra.job_logging.root=null", "replaced", LEAVE_OUT),
        ("model.arguments.depth=2", "~model.arguments", "taken away", LEAVE_OUT),
        ("train.epochs=1", "~train", "taken away", LEAVE_OUT),
        ("train.epochs=1", "~train.epochs", "taken away", LEAVE_OUT),
        (GRID, "~protocol.grid.method.rank", "taken away", LEAVE_OUT),
        ("protocol.grid.optimizer.lr=[1]", "~protocol.grid.lr", "taken away", LEAVE_OUT),
    ],
)
def test_what_a_later_word_replaces_or_takes_away(
    first: str, last: str, does: str, advice: str
) -> None:
    said = f"what '{first}' sets is {does} by '{last}' after it"
    assert list(lost(["seed=1", first, last])) == [(said, advice)]
    with pytest.raises(UserError) as caught:
        check_none_lost([first, last])
    assert str(caught.value) == f"{said}: {advice}."


@pytest.mark.parametrize(
    ("first", "last", "key"),
    [
        (GRID, "protocol.grid={method.rank:[4]}", "protocol.grid"),
        ("protocol.grid={lr:[1]}", "protocol.grid.lr=[2]", "protocol.grid.optimizer.lr"),
        ("protocol.grid.lr=[1]", "protocol.grid={lr:[2]}", "protocol.grid.optimizer.lr"),
        ("protocol.grid.lr=[1]", "protocol.grid.optimizer.lr=[2]", "protocol.grid.optimizer.lr"),
        ("train.epochs=2", "++train.epochs=1", "train.epochs"),
        ("model.arguments={depth:1}", "model.arguments={depth:2}", "model.arguments.depth"),
        ("recipe@dataset.recipe=a", "recipe@dataset.recipe=b", "recipe@dataset.recipe"),
    ],
)
def test_a_key_given_twice_within_mappings_too(first: str, last: str, key: str) -> None:
    said = f"{key} is given twice, as '{first}' and as '{last}'"
    assert list(lost([first, last])) == [(said, LEAVE_OUT)]


def test_values_that_a_run_each_may_have_are_said_as_one_word() -> None:
    words = ["optimizer=sgd", "seed=1", "optimizer=adamw"]
    advice = f"{LEAVE_OUT}, or type optimizer=sgd,adamw for a run with each"
    assert list(lost(words)) == [
        ("optimizer is given twice, as 'optimizer=sgd' and as 'optimizer=adamw'", advice)
    ]


@pytest.mark.parametrize(
    "words",
    [
        [GRID, "protocol.grid.optimizer.lr=[1e-3]"],
        ["~protocol.grid", f"+{GRID}"],
        ["optimizer.lr=1", "optimizer=sgd"],
        ["protocol.grid.method={rank:[1]}", "protocol.grid.method={scale:[1]}"],
        ["logger.csv.folder=x", "logger=[csv]"],
        ["model.arguments={depth:1}", "model.arguments={width:2}"],
        ["~train.epochs", "+train.epochs=2"],
        ["method=lora,hydra", "seed=range(0,3)", "optimizer.lr=interval(0,1)"],
    ],
)
def test_words_that_count_side_by_side(words: list[str]) -> None:
    assert list(lost(words)) == []
