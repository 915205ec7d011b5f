"""Selection of the epoch whose score counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from hydra_peft import plugins
from hydra_peft.config.schema import ProtocolConfig
from hydra_peft.data.split import Split
from hydra_peft.tasks import Task
from hydra_peft.training.evaluation import Score


def check_metrics(task: Task, scored: Mapping[str, Split]) -> None:
    """Check that metrics of other packages score random outputs, before training takes its time.

    Raises:
        UserError: one does not.
    """
    if not any(plugins.origin("hydra_peft.metrics", metric.name) for metric in task.metrics):
        return
    for split in scored.values():
        draw = torch.Generator().manual_seed(0)
        task.scores(torch.randn(len(split), task.outputs, generator=draw), split.targets)


class Scoring:
    """Epochs after which a protocol evaluates, and the evaluation that counts.

    Args:
        task: its primary metric says which score is better.
        protocol: the protocol.
        epochs: length of training.
    """

    def __init__(self, task: Task, protocol: ProtocolConfig, epochs: int) -> None:
        self.task = task
        self.protocol = protocol
        self.epochs = epochs
        self.evaluations = 0
        #: epoch and primary value of each evaluation; a checkpoint of older code has none
        self.looks: list[tuple[int, float]] = []
        self.kept: tuple[int, Score] | None = None
        self.snapshot: dict[str, Tensor] = {}
        #: of the split that counts, by the model of the selected epoch
        self.counted: Score | None = None

    def is_due(self, epoch: int) -> bool:
        """Whether to evaluate after ``epoch`` (from 1); the last epoch always is."""
        every = self.protocol.evaluate_every
        return epoch == self.epochs or (every is not None and epoch % every == 0)

    def add(self, epoch: int, score: Score, state: Callable[[], dict[str, Tensor]]) -> None:
        """Take note of a score; ``state`` gives what the model would be restored to."""
        self.evaluations += 1
        self.looks.append((epoch, score.values[self.task.primary.name]))
        best = self.protocol.selection == "best"
        if best and self.kept is not None and not self._is_better(score, self.kept[1]):
            return
        self.kept = (epoch, score)
        if best:
            self.snapshot = {name: tensor.clone() for name, tensor in state().items()}

    def _is_better(self, score: Score, than: Score) -> bool:
        metric = self.task.primary
        return metric.better(score.values[metric.name], than.values[metric.name])

    def _last_and_best(self) -> dict[str, Any]:
        """Return the scores of the last and of the best epoch, whichever of them counts."""
        better = self.task.primary.better
        best = self.looks[0]
        for look in self.looks:
            best = look if better(look[1], best[1]) else best
        named = {"last": self.looks[-1], "best": best}
        found: dict[str, Any] = {k: {"epoch": e, "score": v} for k, (e, v) in named.items()}
        return {"split": self.protocol.chosen_on, **found}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Put the selected epoch's tensors back into the model, where it is not the last one."""
        with torch.no_grad():
            for name, tensor in self.snapshot.items():
                state[name].copy_(tensor)

    def results(self) -> dict[str, Any]:
        """Return the fields of a record that say which score counts, and all its metrics."""
        assert self.kept is not None, "the last epoch is always evaluated"
        epoch, score = self.kept
        counted = self.counted or score
        protocol = self.protocol
        selection = {"rule": protocol.selection, "split": protocol.evaluate_split, "epoch": epoch}
        if protocol.selection == "best":
            selection["evaluations"] = self.evaluations
        if protocol.select_split is not None:
            selection["chosen_on"] = protocol.select_split
        if len(self.looks) == self.evaluations > 1:
            selection["looks"] = self._last_and_best()
        return {
            "scores": {
                protocol.evaluate_split: dict(counted.values),
                protocol.chosen_on: dict(score.values),
            },
            "primary": self.task.primary.name,
            "selection": selection,
            "counts": counted.counts(self.task.primary),
        }
