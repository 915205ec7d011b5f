"""What a run stored of its outputs gives its score again, without a model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from hydra_peft.errors import UserError
from hydra_peft.metrics import find_metric
from hydra_peft.runs.folder import PREDICTIONS
from hydra_peft.runs.stored_outputs import score_stored
from hydra_peft.tasks.classification import Classification
from hydra_peft.tensor_files import write_tensors

TASK = Classification(3, (find_metric("accuracy"), find_metric("mean_per_class")))
TARGETS = torch.tensor([0, 0, 0, 1, 2])
#: the last example is taken for class 0
OUTPUTS = torch.tensor([[2.0, 1, 0], [2, 1, 0], [2, 1, 0], [0, 2, 1], [2, 1, 0]])


def test_all_metrics_of_the_task_are_computed_from_what_is_stored(tmp_path: Path) -> None:
    assert score_stored(tmp_path / PREDICTIONS, TASK, TARGETS) is None
    write_tensors(tmp_path / PREDICTIONS, {"outputs": OUTPUTS, "targets": TARGETS}, {})
    score = score_stored(tmp_path / PREDICTIONS, TASK, TARGETS)
    assert score is not None
    assert score.count == 5
    assert score.values == pytest.approx({"accuracy": 80.0, "mean_per_class": 200 / 3})


def _link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-4]), "truncated or not a safetensors"),
        (_link, "is a link, which may lead to anything"),
        (lambda path: write_tensors(path, {"outputs": OUTPUTS[1:]}, {}), r"shape \(4, 3\), and"),
        (lambda path: write_tensors(path, {"outputs": OUTPUTS.double()}, {}), "are not float32"),
        (lambda path: write_tensors(path, {"x": OUTPUTS}, {}), "other tensors than outputs"),
        (lambda path: write_tensors(path, {"outputs": OUTPUTS / 0}, {}), "that are not finite"),
        (
            lambda path: write_tensors(path, {"outputs": OUTPUTS, "targets": TARGETS[1:]}, {}),
            r"has targets of shape \(4,\), and its run scored 5 examples",
        ),
        (
            lambda path: write_tensors(path, {"outputs": OUTPUTS, "targets": TARGETS + 1}, {}),
            "other targets than the data",
        ),
        (
            lambda path: write_tensors(path, {"outputs": OUTPUTS, "targets": TARGETS / 1}, {}),
            "other targets than the data",
        ),
    ],
)
def test_anything_else_is_named(
    tmp_path: Path, damage: Callable[[Path], object], message: str
) -> None:
    path = tmp_path / PREDICTIONS
    write_tensors(path, {"outputs": OUTPUTS, "targets": TARGETS}, {})
    damage(path)
    with pytest.raises(UserError, match=message) as caught:
        score_stored(path, TASK, TARGETS)
    assert str(path) in str(caught.value)
