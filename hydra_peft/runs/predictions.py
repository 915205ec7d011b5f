"""``predictions.safetensors`` of a run's folder, scored by its task's metrics without a model."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import Tensor

from hydra_peft.errors import UserError
from hydra_peft.files import open_regular
from hydra_peft.runs.folder import PREDICTIONS
from hydra_peft.tasks import Task
from hydra_peft.tensor_files import read_headers, read_tensors_and_metadata
from hydra_peft.training.evaluation import Score


def score_predictions(folder: Path, task: Task, name: str, targets: Tensor) -> Score | None:
    """Return the score of the outputs that the run in ``folder`` kept, None where it has none.

    Args:
        task: the run's.
        name: the split that was scored.
        targets: the split's.

    Raises:
        UserError: the file is damaged, a link or no file, or holds anything but finite outputs of
            that split.
    """
    path = folder / PREDICTIONS
    if not os.path.lexists(path):
        return None
    open_regular(path).close()
    expected = (len(targets), task.outputs)
    shapes = read_headers(path)
    if shapes != {"outputs": (expected, torch.float32)}:
        found = ", ".join(f"{key} {list(shape)}" for key, (shape, _) in list(shapes.items())[:3])
        raise UserError(
            f"{path} holds {found or 'nothing'} where outputs {list(expected)} in float32 were "
            "expected: of another run?"
        )
    tensors, metadata = read_tensors_and_metadata(path)
    outputs, split = tensors["outputs"], metadata.get("split")
    if split != name or not bool(torch.isfinite(outputs).all()):
        wrong = f"is of split {split!r}, not {name!r}" if split != name else "holds NaN or infinity"
        raise UserError(f"{path} {wrong}: edited?")
    return Score(task.scores(outputs, targets), len(targets))
