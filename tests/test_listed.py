"""Names with commas between them: none is left out, none is there twice."""

from __future__ import annotations

import re

import pytest

from hydra_peft.errors import UserError
from hydra_peft.listed import as_known, in_one_pair, listed


def test_names_in_their_order() -> None:
    assert listed("methods", "lora, hydra ,linear") == ["lora", "hydra", "linear"]


@pytest.mark.parametrize(
    ("typed", "names"),
    [
        ("[lora,linear]", ["lora", "linear"]),
        (" [ lora , 'linear' ]", ["lora", "linear"]),
        ("[lora]", ["lora"]),
        ("[a],[b]", ["[a]", "[b]"]),
        ("[a,b],c", ["[a, b]", "c"]),
        ("[a", ["[a"]),
        ("'[a]'", ["[a]"]),
    ],
)
def test_a_list_may_have_the_brackets_of_train(typed: str, names: list[str]) -> None:
    assert listed("methods", typed) == names


def test_brackets_of_a_name_stay_with_it() -> None:
    assert listed("compare", "[a, b]", ["[a,b]", "a"]) == ["[a,b]"]
    assert listed("columns", "[a]", brackets=False) == ["[a]"]


@pytest.mark.parametrize("text", [",", "[,]", "lora,", ",lora", "lora,,hydra", "lora, ,hydra"])
def test_a_name_that_is_missing(text: str) -> None:
    with pytest.raises(
        UserError, match=f"methods='{re.escape(text)}' has a name missing beside a comma"
    ):
        listed("methods", text)


@pytest.mark.parametrize("text", ["", "[]", '""', '" "', "''"])
def test_no_name_at_all(text: str) -> None:
    with pytest.raises(UserError, match="names none: give a name"):
        listed("methods", text)


@pytest.mark.parametrize("mark", ["'", '"'])
def test_a_list_in_one_pair_of_quotation_marks_is_its_names(mark: str) -> None:
    known = ("lora", "hydra", "a, b")
    assert listed("methods", f"{mark}lora, hydra{mark}", known) == ["lora", "hydra"]
    assert listed("methods", f"{mark}[lora,hydra]{mark}", known) == ["lora", "hydra"]
    assert listed("methods", f"{mark}a,b,lora{mark},hydra", known) == ["a, b", "lora", "hydra"]
    # One name of that kind goes before, and an unknown one stays as it is.
    assert listed("methods", f"{mark}lora,hydra{mark}", (*known, "lora, hydra")) == ["lora, hydra"]
    assert listed("methods", f"{mark}lora,full{mark}", known) == ["lora, full"]
    assert "give each name its own" in in_one_pair("lora, full", f"{mark}lora,full{mark}")
    assert not in_one_pair("lora, full", "lora,full")
    assert not in_one_pair("full", f"{mark}full{mark}")


def test_a_name_that_is_there_twice() -> None:
    for typed in ("lora,hydra, lora", "lora,\"lora\",'lora'"):
        with pytest.raises(UserError, match="methods names 'lora' twice: leave one of them out"):
            listed("methods", typed)


TUNED = "hydra, 3 sizes (tuned, method.rank=[1,2,8], method.scale=null)"
KNOWN = ("hydra", "lora r=4", "lora r=4 (optimizer.betas=[0.9,0.99])", TUNED, "lora r=4, PARTIAL")


@pytest.mark.parametrize(
    "names",
    [
        [TUNED, "linear"],
        ["linear", TUNED],
        ["hydra", TUNED, "lora r=4"],
        ["lora r=4", "lora r=4 (optimizer.betas=[0.9,0.99])"],
        ["lora r=4, PARTIAL", "lora r=4"],
    ],
)
@pytest.mark.parametrize("comma", [",", ", ", " , "])
def test_known_names_with_commas_are_found_whole(names: list[str], comma: str) -> None:
    assert listed("compare", comma.join(names), KNOWN) == names
    assert listed("compare", comma.join(names).replace(", ", ","), KNOWN) == names


@pytest.mark.parametrize(
    ("typed", "names"),
    [
        (f"'{TUNED}','lora r=4'", [TUNED, "lora r=4"]),
        (f"'{TUNED.replace(', ', ',')}', linear", [TUNED, "linear"]),
        ("'lora r=4, other','hydra'", ["lora r=4, other", "hydra"]),
        (f'"{TUNED}","lora r=4"', [TUNED, "lora r=4"]),
        ('"lora r=4, other",\'hydra\', "lora r=9"', ["lora r=4, other", "hydra", "lora r=9"]),
        ('"it\'s, here",hydra', ["it's, here", "hydra"]),
        ('6",hydra', ['6"', "hydra"]),
        ("it's,hydra", ["it's", "hydra"]),
        ("',hydra", ["'", "hydra"]),
    ],
)
def test_names_may_have_the_quotation_marks_of_a_message(typed: str, names: list[str]) -> None:
    assert listed("compare", typed, KNOWN) == names


def test_a_name_in_quotation_marks_is_that_of_a_known_one() -> None:
    assert as_known(f"'{TUNED}'", KNOWN) == TUNED
    assert as_known("'other'", KNOWN) == "other"
    assert as_known(f'"{TUNED}"', KNOWN) == TUNED
    assert as_known('"other"', KNOWN) == "other"
    assert as_known('"a"', ('"a"', "a")) == '"a"'


def test_as_many_known_names_as_can_be() -> None:
    assert listed("compare", "a,b,c", ("a", "a,b", "b,c")) == ["a", "b,c"]


def test_an_unknown_name_keeps_its_brackets() -> None:
    typed = "hydra, 3 sizes (tuned, method.rank=[1,9]),linear"
    assert listed("compare", typed, KNOWN) == [
        "hydra",
        "3 sizes (tuned, method.rank=[1, 9])",
        "linear",
    ]


def test_a_name_is_that_of_a_known_one_but_for_blanks() -> None:
    assert as_known(TUNED.replace(", ", ","), KNOWN) == TUNED
    assert as_known("vera", KNOWN) == "vera"
