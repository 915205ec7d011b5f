"""Columns, classes and splits of tables of images, and what is wrong with them."""

from __future__ import annotations

from typing import Any

import pytest
from datasets import ClassLabel, Dataset, Image
from image_tables import encoded, pets, table

from hydra_peft.data.labelled_tables import TableColumns, read_tables
from hydra_peft.data.own_data import OwnData
from hydra_peft.errors import UserError

PNG = encoded(12)
TURNS = [n % 2 for n in range(12)]


def read(
    tables: dict[str, Dataset], image: str | None = None, label: str | None = None, **names: Any
) -> OwnData:
    return read_tables(
        tables,
        lineage="hf",
        place="pets",
        columns=TableColumns(image, label),
        split_names=names,
    )


@pytest.mark.parametrize(
    ("labels", "names", "expected", "numbers"),
    [
        ([1, 0, 1, 0], ["dog", "cat"], ("dog", "cat"), [1, 0, 1, 0]),
        # Of a part of a data set with many classes those are left that it has.
        ([7, 2, 7, 2], [f"c{n}" for n in range(9)], ("c2", "c7"), [1, 0, 1, 0]),
        (["dog ", "cat", " dog", "cat\t"], [], ("cat", "dog"), [1, 0, 1, 0]),
        ([10, 9, 10, 2], [], ("2", "9", "10"), [2, 1, 2, 0]),
        (["10", "9", "10", "2"], [], ("2", "9", "10"), [2, 1, 2, 0]),
        ([True, False, True, False], [], ("False", "True"), [1, 0, 1, 0]),
    ],
)
def test_classes_are_in_the_order_of_their_names_or_numbers(
    labels: list[Any], names: list[str], expected: tuple[str, ...], numbers: list[int]
) -> None:
    found = read({"train": table(PNG[:4], labels, names)})
    assert found.names == expected
    assert found.given == {"train": numbers}


def test_columns_are_found_by_their_types() -> None:
    plain = table(PNG, TURNS, score=[0.5] * 12, boxes=[[1, 2]] * 12)
    assert read({"train": plain}).given["train"] == TURNS
    # A class is a label before a number or a text is, an image before bytes are.
    more = pets(12).add_column("id", list(range(12))).add_column("mask", PNG)
    assert read({"train": more}).names == ("dog", "cat")
    assert read({"train": more}, label="id").names == tuple(map(str, range(12)))
    assert read({"train": more.remove_columns("image")}).names == ("dog", "cat")


def test_splits_go_by_usual_names_or_by_what_is_said_of_them() -> None:
    tables = {name: pets(4, seed=seed) for seed, name in enumerate(("training", "VALID", "extra"))}
    with pytest.raises(
        UserError, match=r"'extra': say what it is with .*split_names=\{extra:test}"
    ):
        read(tables)
    assert list(read(tables, extra=None).given) == ["train", "val"]
    assert list(read(tables, extra="test").given) == ["train", "val", "test"]
    assert list(read(tables, extra=None, VALID="test").given) == ["train", "test"]
    with pytest.raises(UserError, match=r"VALID and extra are both val: leave one out"):
        read(tables, extra="val")
    with pytest.raises(UserError, match=r"no split 'extr' \(did you mean 'extra'\?\): it has"):
        read(tables, extr=None)
    with pytest.raises(UserError, match=r"split_names\.extra=more is not allowed: it must be"):
        read(tables, extra="more")


def nothing_for_row_3() -> Dataset:
    return table([*PNG[:3], None, *PNG[4:]], TURNS)


def a_path_for_row_3() -> Dataset:
    rows = [{"bytes": one, "path": None} for one in PNG]
    rows[3] = {"bytes": None, "path": "/etc/passwd"}
    return Dataset.from_dict({"image": rows, "label": TURNS}).cast_column("image", Image())


def paths_alone() -> Dataset:
    rows = [{"bytes": None, "path": f"/somewhere/{n}.png"} for n in range(12)]
    return Dataset.from_dict({"image": rows, "label": TURNS}).cast_column("image", Image())


def labels(*values: Any) -> Dataset:
    return table(PNG[: len(values)], values)


@pytest.mark.parametrize(
    ("made", "given", "said"),
    [
        (nothing_for_row_3, {}, r"pets, train, row 3 has no image in 'image': put one there"),
        (lambda: table([*PNG[:3], b""], TURNS[:4]), {}, "row 3 has no image in 'image'"),
        (a_path_for_row_3, {}, r"row 3 names a file, /etc/passwd, and has no image"),
        (paths_alone, {}, r"row 0 names a file, /somewhere/0\.png, and has no image"),
        (lambda: labels("a", None, "b"), {}, r"row 1: the image has no label in 'label' \(1 of 3"),
        (lambda: labels("a", "b", "nan"), {}, r"row 2: the image has no label"),
        (lambda: labels("a", "b", " "), {}, r"row 2: the image has no label"),
        (lambda: labels(0, None, 1), {}, r"row 1: the image has no label"),
        (lambda: table(PNG[:3], [0, -1, 1], ["a", "b"]), {}, r"row 1: the image has no label"),
        (lambda: labels(0, 1, -1), {}, r"row 2: the label '-1' is no plain number"),
        (lambda: labels("a", "a "), {}, "one class only, 'a'"),
        (
            lambda: labels(0.5, 1.0),
            {},
            r"no column of labels, only image \(images\), label \(float64",
        ),
        (lambda: labels(0.5, 1.0), {"label": "label"}, r"'label' of .* float64 values: a label"),
        (
            lambda: labels([0], [1]),
            {"label": "label"},
            "'label' .* has values of type List: a label must",
        ),
        (
            lambda: pets(4).remove_columns("image"),
            {},
            r"no column of images, only label \(classes\): images must be encoded .*csv",
        ),
        (lambda: pets(4), {"image": "label"}, "'label' of dataset.image_column has classes"),
        (lambda: pets(4), {"image": "imag"}, r"no column 'imag' .*mean 'image'\?\): it has image"),
        (
            lambda: table(PNG, TURNS, kind=TURNS),
            {},
            r"several columns .* set dataset\.label_column to one of label, kind",
        ),
        (
            lambda: table(PNG, TURNS, mask=PNG).cast_column("mask", Image()),
            {},
            r"several columns of images: set dataset\.image_column to one of image, mask",
        ),
        (lambda: pets(4).select([]), {}, "pets, train has no rows"),
    ],
)
def test_a_table_that_is_wrong_is_told_in_a_sentence(
    made: Any, given: dict[str, str], said: str
) -> None:
    with pytest.raises(UserError, match=said) as told:
        read({"train": made()}, **given)
    assert "\n" not in str(told.value)


def test_splits_that_do_not_fit_each_other_are_told() -> None:
    train, test = pets(4), pets(4, seed=1)
    with pytest.raises(UserError, match="class 'cat' is in test and not in train"):
        read({"train": train.select([0, 2]), "test": test})
    others = test.cast_column("label", ClassLabel(names=["cat", "dog"]))
    with pytest.raises(UserError, match="'label' of test is of another type, or has other class"):
        read({"train": train, "test": others})
    kept_back = table(PNG[:4], [-1] * 4, ["dog", "cat"])
    with pytest.raises(UserError, match=r"pets, test has no labels in 'label', as where a compet"):
        read({"train": train, "test": kept_back})
    assert read({"train": train, "test": kept_back}, test=None).given == {"train": [0, 1, 0, 1]}
    with pytest.raises(UserError, match="pets has test and no train"):
        read({"test": test})
