"""Splitting and checking a task."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
import torch

from hydra_peft.data.feeding import prepare_split
from hydra_peft.data.overlap import check_apart
from hydra_peft.data.promises import check_promises
from hydra_peft.data.sources.mini import split_arrays
from hydra_peft.data.split import Ragged, Split
from hydra_peft.data.split_roles import BEFORE
from hydra_peft.data.task_data import TaskData
from hydra_peft.errors import UserError

SIZES = {"train800": 800, "val200": 200, "train": 1000, "test": 10}


def make(count: int = 1010, classes: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.randint(0, 256, (count, 2, 2, 3), dtype=torch.uint8)
    return images, torch.arange(count) % classes


def test_splits_are_the_documented_rows() -> None:
    images, labels = make()
    splits = split_arrays(images, labels)
    assert {name: len(split) for name, split in splits.items()} == SIZES
    assert torch.equal(splits["val200"].inputs["image"].array, images[800:1000])
    assert torch.equal(splits["test"].targets, labels[1000:])


def test_each_content_has_its_hash() -> None:
    images, labels = make()
    hashes = {TaskData(split_arrays(images, labels), "x").describe()["sha256"]}
    other = images.clone()
    other[0, 0, 0, 0] += 1
    hashes.add(TaskData(split_arrays(other, labels), "x").describe()["sha256"])
    hashes.add(TaskData(split_arrays(images, labels.flip(0)), "x").describe()["sha256"])
    order = torch.arange(len(images))
    order[[0, 1]] = order[[1, 0]]
    shuffled = split_arrays(images[order], labels[order])
    hashes.add(TaskData(shuffled, "x").describe()["sha256"])
    assert len(hashes) == 4


def test_promises_are_checked() -> None:
    data = TaskData(split_arrays(*make()), "generated")

    def check(classes: int = 4, allow: bool = False, **sizes: int) -> bool:
        return check_promises(
            data.seen_labels(),
            name="x",
            classes=classes,
            sizes={**SIZES, **sizes},
            test="test",
            allow_partial=allow,
        )

    assert not check()
    with pytest.raises(UserError, match="10 images in test where its yaml says 11"):
        check(test=11)
    assert check(test=11, allow=True)
    data = TaskData(data.splits, "originals", partial=True)
    with pytest.raises(UserError, match=r"x was prepared from an incomplete original.*manifest"):
        check()
    assert check(allow=True)
    with pytest.raises(UserError, match=r"labels from 0 to 3 in .*, but dataset.classes=3: labels"):
        check(classes=3, allow=True)


def test_other_classes_than_the_labels_show_are_refused() -> None:
    splits = split_arrays(*make(classes=4))

    def check(classes: int, *names: str, lineage: str = "archive", allow: bool = False) -> bool:
        data = TaskData({name: splits[name] for name in names}, lineage)
        return check_promises(
            data.seen_labels(),
            name="x",
            classes=classes,
            sizes=SIZES,
            test="test",
            allow_partial=allow,
        )

    said = r"labels from 0 to 3, but dataset.classes=5: set dataset.classes=4"
    with pytest.raises(UserError, match=said):
        check(5, "train", "test")
    with pytest.raises(UserError, match=said):
        check(5, "train800", "val200", lineage="generated")
    check(4, "train", "test")
    check(5, "train", "test", allow=True)
    check(5, "train800", "val200")  # the test set may have the fifth


def texts(*rows: list[int], targets: Any = None) -> Split:
    """A split of token ids, with scores as its targets."""
    values = torch.tensor([value for row in rows for value in row])
    scores = torch.arange(len(rows)) / 10 if targets is None else targets
    return Split({"tokens": Ragged(values, torch.tensor([len(row) for row in rows]))}, scores)


def test_splits_of_text_are_hashed_and_checked_as_images_are() -> None:
    train, test = texts([1, 2], [3], [4, 5, 6]), texts([7], [1, 2, 3])
    assert bytes(train.hashes()[1]) == hashlib.sha256((3).to_bytes(8, "little")).digest()
    others = [texts([1], [2, 3], [4, 5, 6]), texts([1, 2], [3], [4, 5, 6], targets=torch.ones(3))]
    assert len({split.sha256() for split in (train, *others)}) == 3
    train.check_decodable()
    assert prepare_split(train, size=(8, 8), cache=None, title="x").inputs == train.inputs
    data = TaskData({"train": train, "test": test}, "archive")
    sizes = {"train": 3, "test": 2}
    # No label is counted where targets are scores.
    assert not check_promises(
        data.seen_labels(), name="x", classes=1, sizes=sizes, test="test", allow_partial=False
    )
    check_apart(data, "x", BEFORE)
    data = TaskData({"train": train, "test": texts([9], [4, 5, 6])}, "archive")
    with pytest.raises(UserError, match="1 of 2 images of test are in train too"):
        check_apart(data, "x", BEFORE)


def test_an_example_of_two_inputs_is_the_same_where_both_are() -> None:
    def pair(second: int) -> Split:
        ids = texts([1, 2], [3]).inputs["tokens"]
        return Split({"ids": ids, "kinds": torch.tensor([[0], [second]])}, torch.zeros(2))

    same, other = pair(1).hashes(), pair(2).hashes()
    assert torch.equal(same[0], other[0])
    assert not torch.equal(same[1], other[1])
    assert pair(1).sha256() != pair(2).sha256()
