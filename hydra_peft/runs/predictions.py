"""Predictions that a run kept of its scored split, read from its folder and checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from hydra_peft.config.schema import RunConfig
from hydra_peft.data.split import Images
from hydra_peft.data.unread import nothing_to_show
from hydra_peft.errors import UserError
from hydra_peft.runs.folder import predictions_name
from hydra_peft.runs.kept_predictions import of_classes
from hydra_peft.runs.rebuild import load_scored
from hydra_peft.runs.record import Record, class_names
from hydra_peft.runs.stored_outputs import read_outputs


@dataclass(frozen=True)
class ClassPredictions:
    """Class probabilities that a classifier gave each example that it was scored on.

    Attributes:
        folder: the run's.
        record: what it recorded.
        config: its checked config.
        split: what was scored.
        names: of the classes.
        targets: int64 ``[n]``, the class of each example.
        probabilities: float32 ``[n, classes]``, the softmax of the model's outputs.
    """

    folder: Path
    record: Record
    config: RunConfig
    split: str
    names: tuple[str, ...]
    targets: Tensor
    probabilities: Tensor

    @property
    def predicted(self) -> Tensor:
        """The most probable class of each example, int64 ``[n]``."""
        return self.probabilities.argmax(dim=1)


def read_class_predictions(folder: Path, split: str = "") -> ClassPredictions:
    """Return the predictions of the completed classification run in ``folder``.

    Args:
        folder: the run's.
        split: that they are of; empty takes the one that counts.

    Raises:
        UserError: see :func:`hydra_peft.runs.kept_predictions.of_classes`; or the predictions are
            not those of its record.
    """
    record, config, split = of_classes(folder, split)
    task, path = config.task(), folder / predictions_name(split, record.split)
    shape = _count(record, split), task.outputs
    tensors = read_outputs(path, shape, record.outputs.get(split, ""))
    if "targets" not in tensors:
        raise UserError(
            f"{path} lacks targets, which runs of older code did not store: do it again with "
            "sweep.on_existing=rerun."
        )
    outputs, targets = tensors["outputs"], tensors["targets"]
    task.check_targets(targets, str(path))
    hits, recorded = int(task.hits(outputs, targets).sum()), _correct(record, split)
    if recorded is not None and hits != recorded:
        raise UserError(
            f"{path} has {hits} correct predictions, its record {recorded}: was one of both edited?"
        )
    return ClassPredictions(
        folder,
        record,
        config,
        split,
        class_names(record, task.outputs),
        targets,
        task.probabilities(outputs),
    )


def _count(record: Record, split: str) -> int:
    """Return how many examples of ``split`` were scored."""
    if split == record.split:
        return record.counts["scored"]
    return int(record.data.get("counts", {}).get(split, 0))


def _correct(record: Record, split: str) -> int | None:
    """Return how many examples of ``split`` were right; None where nothing says so."""
    if split == record.split:
        return record.counts.get("correct")
    accuracy = record.scores[split].get("accuracy")
    return None if accuracy is None else round(accuracy * _count(record, split) / 100)


def scored_images(run: ClassPredictions, *, cache: Path, data: str | None = None) -> Images:
    """Return the images that ``run`` was scored on, in their own sizes and in its order.

    Args:
        cache: where generated images are kept on this machine.
        data: folder of prepared data, where it has moved since; None takes the recorded.

    Raises:
        UserError: the task has none, or they are missing, or are not those of the record.
    """
    splits = load_scored(run.folder, run.record, run.config, [run.split], cache=cache, data=data)
    images = splits[run.split].inputs.get("image")
    if not isinstance(images, Images):
        raise nothing_to_show(run.config.dataset.name)
    return images
