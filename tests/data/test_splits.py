"""Splitting and checking a task."""

from __future__ import annotations

import pytest
import torch

from hydra_peft.data.splits import TaskData, check_task, split_arrays
from hydra_peft.errors import UserError

SIZES = {"train800": 800, "val200": 200, "train": 1000, "test": 10}


def make(count: int = 1010, classes: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.randint(0, 256, (count, 2, 2, 3), dtype=torch.uint8)
    return images, torch.arange(count) % classes


def test_splits_are_the_documented_rows() -> None:
    images, labels = make()
    splits = split_arrays(images, labels)
    assert {name: len(split) for name, split in splits.items()} == SIZES
    assert torch.equal(splits["val200"].images.array, images[800:1000])
    assert torch.equal(splits["test"].labels, labels[1000:])


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
        return check_task(
            data, name="x", classes=classes, sizes={**SIZES, **sizes}, allow_partial=allow
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
        return check_task(data, name="x", classes=classes, sizes=SIZES, allow_partial=allow)

    said = r"labels from 0 to 3, but dataset.classes=5: set dataset.classes=4"
    with pytest.raises(UserError, match=said):
        check(5, "train", "test")
    with pytest.raises(UserError, match=said):
        check(5, "train800", "val200", lineage="generated")
    check(4, "train", "test")
    check(5, "train", "test", allow=True)
    check(5, "train800", "val200")  # the test set may have the fifth
