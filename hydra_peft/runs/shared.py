"""What runs of one process share: data read and decoded once, features, the passes of a pack.

Those of a search differ in hyper-parameters alone. Few-shot trials are so short that reading lists
and images anew would take longer than training.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch

from hydra_peft.config.schema import RunConfig
from hydra_peft.data.split import Split
from hydra_peft.data.tokenizer import Encoding
from hydra_peft.packing.member import Member
from hydra_peft.runs.first_look import splits_read, splits_scored
from hydra_peft.runs.task_splits import load_splits

T = TypeVar("T")
Splits = tuple[Split, dict[str, Split]]


class Shared:
    """Data and features of runs in turn, kept while what they depend on stays the same.

    What was read stays what it was: files that change between two trials of a search do not count.

    Args:
        member: of a pack, whose passes are shared too; None computes alone.
    """

    def __init__(self, member: Member | None = None) -> None:
        self.member = member
        self._made: dict[str, tuple[str, object]] = {}

    def splits(
        self,
        config: RunConfig,
        size: tuple[int, int] | None,
        device: torch.device,
        *,
        described: Callable[[dict[str, object]], None],
        encoding: Encoding | None = None,
    ) -> Splits:
        """Return what :func:`~hydra_peft.runs.task_splits.load_splits` does, which has the
        arguments."""
        told: list[dict[str, object]] = []

        def describe(description: dict[str, object]) -> None:
            told.append(description)
            described(description)

        def load() -> tuple[dict[str, object], Splits]:
            splits = load_splits(config, size, device, described=describe, encoding=encoding)
            return told[0], splits

        description, splits = self._once("splits", _of_data(config, size, device, encoding), load)
        if not told:
            described(description)
        return splits

    def features(
        self, config: RunConfig, name: str, split: Split, make: Callable[[], Split]
    ) -> Split:
        """Return the features of ``split``, called ``name``, which ``make`` computes.

        They are those of the backbone of ``config`` as its method leaves it, which is frozen.
        """
        data = (id(split), config.dataset, config.protocol, config.data)
        model = (config.model, config.method, config.precision, config.seed)
        return self._once(f"features of {name}", repr((data, model)), make)

    def _once(self, name: str, key: str, make: Callable[[], T]) -> T:
        if name not in self._made or self._made[name][0] != key:
            self._made.pop(name, None)  # first, for two would need twice the memory
            self._made[name] = (key, make())
        return cast(T, self._made[name][1])


def _of_data(
    config: RunConfig, size: tuple[int, int] | None, device: torch.device, encoding: Encoding | None
) -> str:
    """Return what the splits of a run, and the checks of them, depend on."""
    read: tuple[Any, ...] = (
        config.protocol.train_split,
        splits_scored(config),
        splits_read(config),
    )
    train, head = config.train, config.head
    batches = (train.batch_size, train.drop_last, head.least_batch)
    encoded = None if encoding is None else (encoding.tokenizer.sha256, encoding.max_length)
    return repr((config.dataset, config.data, config.paths, read, batches, size, device, encoded))
