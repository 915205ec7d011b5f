"""Drawing some of a data set's training data: so many images in all, or so many a class.

By content, or as ELEVATER samples few shots (:mod:`hydra_peft.data.few_shots`).
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass

import torch
from torch import Tensor

from hydra_peft.data.few_shots import FIT, VAL, at_source, held_out, none_left, sample
from hydra_peft.data.overlap import rows
from hydra_peft.data.shares import draw, draw_each
from hydra_peft.data.sources import DataRequest, load_task
from hydra_peft.data.split import Images, Ragged, Rows, Split, Texts
from hydra_peft.data.split_roles import SplitRoles
from hydra_peft.data.task_data import TaskData
from hydra_peft.errors import UserError


@dataclass(frozen=True)
class Drawing:
    """Size of a sample of the training data, and how it is drawn.

    Attributes:
        train_size: examples in all; None for no limit.
        shots: examples of each class; None likewise.
        seed: another one draws others, where they are drawn by content.
        sampling_seed: the seed of ELEVATER's few-shot sampling of ``shots``; None draws by content.
    """

    train_size: int | None = None
    shots: int | None = None
    seed: int = 0
    sampling_seed: int | None = None

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
    that are tested on. A few-shot sample holds out some of its own (splits ``fit_shots`` and
    ``val_shots``), whatever else the data set has.

    Raises:
        UserError: see :func:`hydra_peft.data.sources.load_task`; or a class has too few examples.
    """
    wanted = request.splits
    learnt = (roles.train, *(roles.parts() or ()))
    if not drawing or not set(learnt) & set(wanted):
        return load_task(source, request)
    if drawing.shots and drawing.sampling_seed is not None:
        return _load_sample(source, request, roles.train, drawing.shots, drawing.sampling_seed)
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


def _load_sample(source: str, request: DataRequest, train: str, shots: int, seed: int) -> TaskData:
    """Return a task whose ``train`` is a few-shot sample, and the two parts of that."""
    stored = at_source((train, *request.splits), train)
    data = load_task(source, dataclasses.replace(request, splits=stored))
    pool = data.splits[train]
    labels = _classes_of(pool.targets)
    chosen = sample(labels, request.classes, shots=shots, seed=seed)
    apart = set(held_out([labels[row] for row in chosen], request.classes))
    parts = {
        train: chosen,
        FIT: [row for place, row in enumerate(chosen) if place not in apart],
        VAL: [row for place, row in enumerate(chosen) if place in apart],
    }
    splits = dict(data.splits)
    for name, places in parts.items():
        if name in request.splits:
            if not places:
                raise none_left(request.name, shots)
            taken = torch.tensor(places, dtype=torch.int64)
            splits[name] = _take(pool, taken, f"{name}-{shots}-{seed}")
    kept = {name: splits[name] for name in request.splits}
    return dataclasses.replace(data, splits=kept, whole=data.seen_labels())


def _classes_of(targets: Tensor) -> list[list[int]]:
    """Return the classes of each example: one, any number, or where there are none all alike."""
    if targets.dtype == torch.bool:
        return [torch.nonzero(row).flatten().tolist() for row in targets]
    return [[label] for label in targets.tolist()]


def _examples(split: Split) -> list[tuple[bytes, bytes]]:
    """Return content and target of each example: copies of one image may have several labels."""
    targets = [target.numpy().tobytes() for target in split.targets]
    return list(zip(rows(split.hashes()), targets, strict=True))


def _take(split: Split, chosen: Tensor, name: str = "drawn") -> Split:
    return Split(
        {key: _rows(inputs, chosen, name) for key, inputs in split.inputs.items()},
        split.targets[chosen],
    )


def _rows(inputs: Rows, chosen: Tensor, name: str) -> Rows:
    if isinstance(inputs, Images):
        return inputs.part(chosen.tolist(), name)
    if isinstance(inputs, Texts):
        return inputs.part(chosen.tolist())
    assert isinstance(inputs, Tensor | Ragged), "a source's inputs are images or in memory"
    return inputs[chosen]
