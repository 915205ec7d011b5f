"""All that an unfinished training depends on, as tensors and plain facts, and back."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from hydra_peft.adaptation.parameters import adapter_state_dict
from hydra_peft.errors import UserError
from hydra_peft.finite import is_finite
from hydra_peft.runs.scoring import Scoring
from hydra_peft.training.distributed import World
from hydra_peft.training.evaluation import Score
from hydra_peft.training.optimizer_state import (
    load_state_tensors,
    state_layout,
    state_tensors,
)
from hydra_peft.training.progress import EpochRecord, Progress
from hydra_peft.training.random_states import (
    check_generator_state,
    check_random_states,
    random_states,
)
from hydra_peft.training.seeding import RandomStreams

_PROGRESS = ("order", "loss_sum", "correct", "losses")


@dataclass
class TrainingState:
    """A training that can be written down after any step and picked up again.

    Attributes:
        model: adapted.
        optimizer: over its trained parameters.
        progress: where the loop is.
        epochs: records of the epochs; those after ``progress.epoch`` do not count.
        scoring: what was scored.
        device: what computes.
        images: size of the training split.
        batch_size, steps: images of a step, steps of an epoch.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    progress: Progress
    epochs: list[EpochRecord]
    scoring: Scoring
    device: torch.device
    images: int
    batch_size: int
    steps: int

    @property
    def step(self) -> int:
        """Steps done since the beginning of training."""
        return self.progress.epoch * self.steps + self.progress.step

    def tensors(self, world: World | None = None) -> dict[str, Tensor]:
        """Return every tensor of the state, by names like ``optimizer/3/exp_avg``; not copied.

        Args:
            world: the processes that train together. All of them call this; the main one gets the
                others' random states too, as ``process/1/torch``. The rest is the same in all.
        """
        found = {f"model/{name}": t for name, t in adapter_state_dict(self.model).items()}
        found |= {f"optimizer/{name}": t for name, t in state_tensors(self.optimizer).items()}
        found |= {f"progress/{key}": getattr(self.progress, key) for key in _PROGRESS}
        found |= {f"best/{name}": t for name, t in self.scoring.snapshot.items()}
        assert self.progress.random is not None, "a step has been done"
        random, *others = _of_all(self.progress.random.states(), world or World())
        found |= {f"random/{name}": t for name, t in random.items()}
        for rank, states in enumerate(others, 1):
            found |= {f"process/{rank}/{name}": t for name, t in states.items()}
        return found

    def facts(self) -> dict[str, Any]:
        """Return the rest of the state, as json holds it."""
        kept = self.scoring.kept
        return {
            "epoch": self.progress.epoch,
            "step": self.progress.step,
            "seconds": self.progress.seconds,
            "epochs": [dataclasses.asdict(e) for e in self.epochs[: self.progress.epoch]],
            "evaluations": self.scoring.evaluations,
            "looks": [list(look) for look in self.scoring.looks],
            "kept": None if kept is None else [kept[0], dict(kept[1].values), kept[1].count],
        }

    def max_bytes(self) -> int:
        """Return an upper bound, in bytes, of the tensors in any checkpoint of this training."""
        model = sum(t.nbytes for t in adapter_state_dict(self.model).values())
        moments = sum(s.numel() * d.itemsize for s, d in state_layout(self.optimizer).values())
        random = sum(t.nbytes for t in random_states(self.device).values())
        # weights, those of the best epoch; generators of up to a thousand processes
        return 2 * model + moments + 8 * self.steps + 1024 * random

    def check(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Check that :meth:`load` can take ``tensors`` and ``facts``; nothing is changed.

        Raises:
            UserError: names, shapes, types or values are not of a state of this training.
        """
        self._check_tensors(tensors)
        self._check_facts(facts)
        best = self.scoring.protocol.selection == "best" and facts["kept"] is not None
        if best != any(name.startswith("best/") for name in tensors):
            raise UserError("it holds a best epoch's tensors without its score, or the reverse.")
        check_generator_state(tensors["progress/order"])
        check_random_states(_below("random/", tensors))
        for rank in range(1, _processes(tensors)):
            check_random_states(_below(f"process/{rank}/", tensors))

    def load(
        self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any], world: World | None = None
    ) -> bool:
        """Put all as it was; ``check`` the arguments before.

        Returns:
            Whether that includes what dropout draws from: not if another number of processes wrote
            ``tensors`` than ``world`` has.
        """
        own = adapter_state_dict(self.model)
        with torch.no_grad():
            for name, tensor in _below("model/", tensors).items():
                own[name].copy_(tensor)
        load_state_tensors(self.optimizer, _below("optimizer/", tensors))
        progress = self.progress
        progress.order = tensors["progress/order"]
        for key in ("loss_sum", "correct", "losses"):
            setattr(progress, key, tensors[f"progress/{key}"].to(self.device))
        progress.epoch, progress.step = facts["epoch"], facts["step"]
        progress.seen = self._seen(progress.step)
        progress.seconds = facts["seconds"]
        self.epochs[:] = [EpochRecord(**values) for values in facts["epochs"]]
        self.scoring.evaluations = facts["evaluations"]
        self.scoring.looks = [(epoch, value) for epoch, value in facts.get("looks", [])]
        if facts["kept"] is not None:
            epoch, values, count = facts["kept"]
            self.scoring.kept = (epoch, Score(values, count))
        self.scoring.snapshot = {
            name: tensor.to(self.device) for name, tensor in _below("best/", tensors).items()
        }
        world = world or World()
        if _processes(tensors) != world.size:
            return False
        prefix = "random/" if world.is_main else f"process/{world.rank}/"
        progress.random = RandomStreams(_below(prefix, tensors), self.device)
        return True

    def _seen(self, step: int) -> int:
        return min(step * self.batch_size, self.images)

    def _layout(self, tensors: Mapping[str, Tensor]) -> dict[str, tuple[torch.Size, torch.dtype]]:
        """Return names and shapes of a training state, given the optional parts that ``tensors``
        has."""
        model = {n: (t.shape, t.dtype) for n, t in adapter_state_dict(self.model).items()}
        layout = {f"model/{name}": kind for name, kind in model.items()}
        if any(name.startswith("best/") for name in tensors):
            layout |= {f"best/{name}": kind for name, kind in model.items()}
        optimizer = state_layout(self.optimizer, _below("optimizer/", tensors))
        layout |= {f"optimizer/{name}": kind for name, kind in optimizer.items()}
        states = {n: (t.shape, t.dtype) for n, t in random_states(self.device).items()}
        states.pop("cuda", None)
        random: dict[str, tuple[torch.Size, torch.dtype]] = {}
        for prefix in ("random", *(f"process/{r}" for r in range(1, _processes(tensors)))):
            random |= {f"{prefix}/{name}": kind for name, kind in states.items()}
            if f"{prefix}/cuda" in tensors:  # a GPU's; not read on a CPU
                random[f"{prefix}/cuda"] = (torch.Size([16]), torch.uint8)
        scalar = torch.Size([])
        return {
            **layout,
            **random,
            "progress/order": (torch.Generator().get_state().shape, torch.uint8),
            "progress/loss_sum": (scalar, torch.float32),
            "progress/correct": (scalar, torch.int64),
            "progress/losses": (torch.Size([self.steps]), torch.float32),
        }

    def _check_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        layout = self._layout(tensors)
        wrong = sorted(layout.keys() ^ tensors.keys())
        wrong += [n for n in layout.keys() & tensors.keys() if layout[n] != _kind(tensors[n])]
        if wrong:
            raise UserError(f"it lacks, or has in another form, {', '.join(wrong[:3])}.")

    def _check_facts(self, facts: Mapping[str, Any]) -> None:
        epoch, step, kept = facts.get("epoch"), facts.get("step"), facts.get("kept")
        if not (_whole(epoch, self.scoring.epochs - 1) and _whole(step, self.steps) and step):
            raise UserError(f"it is at epoch {epoch!r}, step {step!r}, which training never is.")
        records = facts.get("epochs")
        if not isinstance(records, list) or len(records) != epoch:
            raise UserError("it does not hold the records of the epochs before it.")
        if not all(_is_record(record, number) for number, record in enumerate(records, 1)):
            raise UserError("it holds records of epochs that are not such.")
        due = [number for number in range(1, epoch + 1) if self.scoring.is_due(number)]
        good = facts.get("evaluations") == len(due) and self._is_kept(kept, due)
        good = good and _are_looks(facts.get("looks", []), due)
        if not good or not is_number(facts.get("seconds")):
            raise UserError("it holds scores or times that cannot be.")

    def _is_kept(self, kept: object, due: list[int]) -> bool:
        if not due or not isinstance(kept, list):
            return not due and kept is None
        if len(kept) != 3 or kept[0] not in due or not isinstance(kept[1], dict):
            return False
        names = [metric.name for metric in self.scoring.task.metrics]
        counted = _whole(kept[2], 2**40) and kept[2] >= 1
        return counted and list(kept[1]) == names and all(map(is_finite, kept[1].values()))


def _are_looks(looks: object, due: list[int]) -> bool:
    """Whether ``looks`` are of the last of the epochs ``due``; older code noted none."""
    if not isinstance(looks, list):
        return False
    if not all(isinstance(look, list) and len(look) == 2 for look in looks):
        return False
    epochs = [look[0] for look in looks]
    return epochs == due[len(due) - len(epochs) :] and all(is_finite(look[1]) for look in looks)


def _of_all(states: dict[str, Tensor], world: World) -> list[dict[str, Tensor]]:
    if world.size == 1:
        return [states]
    return [load(data) for data in world.all_gather(save(states))]


def _processes(tensors: Mapping[str, Tensor]) -> int:
    """Number of processes that wrote ``tensors``."""
    return 1 + sum(re.fullmatch(r"process/\d+/torch", name) is not None for name in tensors)


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {n[len(prefix) :]: t for n, t in tensors.items() if n.startswith(prefix)}


def _kind(tensor: Tensor) -> tuple[torch.Size, torch.dtype]:
    return tensor.shape, tensor.dtype


def _whole(value: object, limit: int) -> bool:
    return type(value) is int and 0 <= value <= limit


def is_number(value: object) -> bool:
    """Whether ``value`` is a finite number of at least zero."""
    return isinstance(value, float | int) and is_finite(value) and value >= 0


def _is_record(values: object, number: int) -> bool:
    names = {field.name for field in dataclasses.fields(EpochRecord)}
    if not isinstance(values, dict) or values.keys() != names or values["epoch"] != number:
        return False
    return all(
        is_number(value) or (value is None and key == "train_accuracy")
        for key, value in values.items()
    )
