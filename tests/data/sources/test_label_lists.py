"""Prepared data whose images have any number of labels: lists, targets, mistakes in a line."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from prepared_root import write_task

from hydra_peft.data.promises import LabelRange
from hydra_peft.data.sources import DataRequest, labels_of, load_task
from hydra_peft.errors import UserError

LABELS = ["0,2", "2", "-", "3,2,3", "1"]


@pytest.fixture
def request_(tmp_path: Path) -> DataRequest:
    """A task with five images in its test set."""
    write_task(tmp_path / "shown", classes=4, test=5)
    rewrite(tmp_path, LABELS)
    return DataRequest("b", "shown", "shown", (), 4, tmp_path, tmp_path / "cache", ("test",))


def rewrite(root: Path, labels: list[str]) -> None:
    lines = [f"images/test/{row:06d}.jpg {own}\n" for row, own in enumerate(labels)]
    (root / "shown" / "test.txt").write_text("".join(lines))


def test_targets_have_a_column_for_each_class(request_: DataRequest) -> None:
    split = load_task("label_lists", request_).splits["test"]
    assert split.targets.dtype == torch.bool
    found = [row.nonzero().flatten().tolist() for row in split.targets]
    assert found == [[0, 2], [2], [], [2, 3], [1]]
    seen = labels_of("label_lists", request_).splits["test"]
    assert seen == LabelRange(5, 0, 3)
    assert seen.rarest == (0, 1)


@pytest.mark.parametrize(
    ("label", "sentence"),
    [
        ("0,4", "line 2: label 4 is outside 0 to 3"),
        ("1,", r"line 2: expected an image path and its labels, such as .* 3,7"),
        ("one", "line 2: expected an image path and its labels"),
        ("-1", "line 2: expected an image path and its labels"),
    ],
)
def test_a_malformed_line_is_named(
    request_: DataRequest, tmp_path: Path, label: str, sentence: str
) -> None:
    rewrite(tmp_path, [LABELS[0], label, *LABELS[2:]])
    for read in (labels_of, load_task):
        with pytest.raises(UserError, match=sentence):
            read("label_lists", request_)
