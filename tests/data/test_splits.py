"""Splitting and checking a task."""

from __future__ import annotations

import hashlib

import pytest
import torch

from hydra_peft.data.splits import check_task, split_task
from hydra_peft.errors import UserError


def make(count: int = 1010, classes: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.randint(0, 256, (count, 2, 2, 3), dtype=torch.uint8)
    return images, torch.arange(count) % classes


def test_splits_are_the_documented_rows() -> None:
    images, labels = make()
    data = split_task(images, labels)
    assert {name: len(split) for name, split in data.splits.items()} == {
        "train800": 800,
        "val200": 200,
        "train": 1000,
        "test": 10,
    }
    assert torch.equal(data.splits["val200"].images, images[800:1000])
    assert torch.equal(data.splits["test"].labels, labels[1000:])
    plain = hashlib.sha256(images.numpy().tobytes() + labels.numpy().tobytes()).hexdigest()
    assert data.sha256 == plain


def test_promises_are_checked() -> None:
    data = split_task(*make())
    check_task(data, name="x", classes=4, test_size=10)
    with pytest.raises(UserError, match="10 test images where its yaml says test_size=11"):
        check_task(data, name="x", classes=4, test_size=11)
    with pytest.raises(UserError, match="labels from 0 to 3 where its yaml says classes=3"):
        check_task(data, name="x", classes=3, test_size=10)
