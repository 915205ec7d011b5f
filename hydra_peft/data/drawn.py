"""Drawing some of a data set's training data: so many images in all, or so many a class."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass

import torch
from torch import Tensor

from hydra_peft.data.overlap import rows
from hydra_peft.data.shares import draw, draw_each
from hydra_peft.data.sources import DataRequest, load_task
from hydra_peft.data.split import Images, Ragged, Rows, Split
from hydra_peft.data.split_roles import SplitRoles
from hydra_peft.data.task_data import TaskData
from hydra_peft.errors import UserError


@dataclass(frozen=True)
class Drawing:
    """How much of the training data is used.

    Attributes:
        train_size: examples in all; None for no limit.
        shots: examples of each class; None likewise.
        seed: another one draws others.
    """

    train_size: int | None = None
    shots: int | None = None
    seed: int = 0

    def __bool__(self) -> bool:
        return bool(self.train_size or self.shots)

    def rows(self, split: Split) -> Tensor:
        """Return the positions of what is drawn out of ``split``, int64 ``[k]``, in order.

        Raises:
            UserError: a class has fewer examples than are to be drawn.
        """
        targets = split.targets
        # Where there are no classes all examples are of one kind.
        classed = targets.dtype == torch.int64 and targets.dim() == 1
        labels = targets.tolist() if classed else [0] * len(split)
        contents = rows(split.hashes())
        if self.shots:
            chosen = draw_each(labels, contents, shots=self.shots, seed=self.seed)
        else:
            count = self.train_size or len(split)
            chosen = draw(labels, contents, count=count, seed=self.seed)
        return torch.tensor(chosen, dtype=torch.int64)


def load_drawn(source: str, request: DataRequest, roles: SplitRoles, drawing: Drawing) -> TaskData:
    """Return a task as its source has it, less what is not drawn.

    Where the training data consists of two parts, what is drawn out of all of it is what is drawn
    out of the parts. A split that is held out beside the training data stays whole, and so do those
    that are tested on.

    Raises:
        UserError: see :func:`hydra_peft.data.sources.load_task`; or a class has too few examples.
    """
    wanted = request.splits
    learnt = (roles.train, *(roles.parts() or ()))
    if not drawing or not set(learnt) & set(wanted):
        return load_task(source, request)
    needed = tuple(dict.fromkeys((*wanted, *learnt)))
    data = load_task(source, dataclasses.replace(request, splits=needed))
    splits = dict(data.splits)
    splits[roles.train] = _take(splits[roles.train], drawing.rows(splits[roles.train]))
    left = Counter(_examples(splits[roles.train]))
    for name in roles.parts() or ():
        places = []
        for row, example in enumerate(_examples(splits[name])):
            if left[example]:
                left[example] -= 1
                places.append(row)
        splits[name] = _take(splits[name], torch.tensor(places, dtype=torch.int64))
    drawn = {name: splits[name] for name in wanted}
    for name, split in drawn.items():
        if not len(split):
            raise UserError(
                f"dataset {request.name}: what is drawn of {roles.train} has nothing of {name} in "
                "it: raise dataset.train_size or dataset.shots."
            )
    return dataclasses.replace(data, splits=drawn, whole=data.seen_labels())


def _examples(split: Split) -> list[tuple[bytes, bytes]]:
    """Return content and target of each example: copies of one image may have several labels."""
    targets = [target.numpy().tobytes() for target in split.targets]
    return list(zip(rows(split.hashes()), targets, strict=True))


def _take(split: Split, chosen: Tensor) -> Split:
    return Split(
        {name: _rows(inputs, chosen) for name, inputs in split.inputs.items()},
        split.targets[chosen],
    )


def _rows(inputs: Rows, chosen: Tensor) -> Rows:
    if isinstance(inputs, Images):
        return inputs.part(chosen.tolist(), "drawn")
    assert isinstance(inputs, Tensor | Ragged), "a source's inputs are images or in memory"
    return inputs[chosen]
