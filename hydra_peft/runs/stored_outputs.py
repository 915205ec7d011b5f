"""``predictions.safetensors`` of a run's folder: its tensors, and their score without a model."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import Tensor

from hydra_peft.errors import UserError
from hydra_peft.files import open_regular, sha256_of
from hydra_peft.plain_text import tensor_shape
from hydra_peft.tasks import Task
from hydra_peft.tensor_files import read_headers, read_tensors
from hydra_peft.training.evaluation import Score


def read_outputs(path: Path, shape: tuple[int, int], sha256: str = "") -> dict[str, Tensor]:
    """Return ``outputs``, float32 of that ``shape``, and the ``targets`` if the file has them.

    Nothing is read before its shape fits; runs of older code stored no targets.

    Args:
        path: the file.
        shape: examples and outputs of each.
        sha256: of the file as its run wrote it; older code recorded none.

    Raises:
        UserError: the file is damaged, a link or no file, or holds anything else, or what is not
            finite, or is not the one that the run wrote.
    """
    open_regular(path).close()
    headers = read_headers(path)
    outputs, targets = headers.get("outputs"), headers.get("targets")
    if not headers.keys() <= {"outputs", "targets"} or outputs is None:
        raise UserError(f"{path} holds other tensors than outputs and targets: edited?")
    if outputs[1] != torch.float32:
        raise UserError(f"{path} has outputs that are not float32: was it edited?")
    if outputs[0] != shape:
        raise UserError(
            f"{path} has outputs of shape {tensor_shape(outputs[0])}, and its run scored "
            f"{shape[0]} examples with {shape[1]} outputs each: was one of both edited?"
        )
    if targets and targets[0][:1] != shape[:1]:
        raise UserError(
            f"{path} has targets of shape {tensor_shape(targets[0])}, and its run scored "
            f"{shape[0]} examples: was one of both edited?"
        )
    if sha256 not in ("", sha256_of(path)):
        raise UserError(f"{path} is not the file that its run wrote: edited, or of another run?")
    tensors = read_tensors(path)
    if not tensors["outputs"].isfinite().all():
        raise UserError(f"{path} has outputs that are not finite: was it edited?")
    return tensors


def score_stored(path: Path, task: Task, targets: Tensor, sha256: str = "") -> Score | None:
    """Return the score of the outputs that a run stored in ``path``, None where it did not.

    Args:
        path: see :func:`hydra_peft.runs.folder.predictions_name`.
        task: the run's.
        targets: of the split that was scored, as the data has them.
        sha256: see :func:`read_outputs`.

    Raises:
        UserError: see :func:`read_outputs`; or they are of other targets.
    """
    if not os.path.lexists(path):
        return None
    tensors = read_outputs(path, (len(targets), task.outputs), sha256)
    stored = tensors.get("targets", targets)
    if stored.dtype != targets.dtype or not torch.equal(stored, targets):
        raise UserError(f"{path} has other targets than the data: was it edited?")
    return Score(task.scores(tensors["outputs"], targets), len(targets))
