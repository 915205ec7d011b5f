"""What a run stored of its outputs gives its score again, without a model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from hydra_peft.errors import UserError
from hydra_peft.metrics import find_metric
from hydra_peft.runs.folder import PREDICTIONS
from hydra_peft.runs.predictions import score_predictions
from hydra_peft.tasks.classification import Classification
from hydra_peft.tensor_files import write_tensors

TASK = Classification(3, (find_metric("accuracy"), find_metric("mean_per_class")))
TARGETS = torch.tensor([0, 0, 0, 1, 2])
#: the last example is taken for class 0
OUTPUTS = torch.tensor([[2.0, 1, 0], [2, 1, 0], [2, 1, 0], [0, 2, 1], [2, 1, 0]])


def test_all_metrics_of_the_task_are_computed_from_what_is_stored(tmp_path: Path) -> None:
    assert score_predictions(tmp_path, TASK, "test", TARGETS) is None
    write_tensors(tmp_path / PREDICTIONS, {"outputs": OUTPUTS}, {"split": "test"})
    score = score_predictions(tmp_path, TASK, "test", TARGETS)
    assert score is not None and score.count == 5
    assert score.values == pytest.approx({"accuracy": 80.0, "mean_per_class": 200 / 3})


def _link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-4]), "truncated or not a safetensors"),
        (_link, "is a link, which may lead to anything"),
        (lambda path: write_tensors(path, {"outputs": OUTPUTS[1:]}, {}), r"outputs \[4, 3\] where"),
        (lambda path: write_tensors(path, {"x": OUTPUTS}, {}), r"holds x \[5, 3\] where outputs"),
        (lambda path: write_tensors(path, {"outputs": OUTPUTS.double()}, {}), "in float32 were"),
        (lambda path: write_tensors(path, {"outputs": OUTPUTS}, {"split": "val"}), "'val', not 't"),
        (
            lambda path: write_tensors(path, {"outputs": OUTPUTS / 0}, {"split": "test"}),
            "holds NaN or infinity",
        ),
    ],
)
def test_anything_else_is_named(
    tmp_path: Path, damage: Callable[[Path], object], message: str
) -> None:
    path = tmp_path / PREDICTIONS
    write_tensors(path, {"outputs": OUTPUTS}, {"split": "test"})
    damage(path)
    with pytest.raises(UserError, match=message) as caught:
        score_predictions(tmp_path, TASK, "test", TARGETS)
    assert str(path) in str(caught.value)
