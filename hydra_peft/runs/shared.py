"""What runs of one process share: data read and decoded once, features, the passes of a pack.

Those of a search differ in hyper-parameters alone. Few-shot trials are so short that reading lists
and images anew would take longer than training.
"""

from __future__ import annotations

from collections import Counter
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


class Kept:
    """What was made for runs that go on, as long as one of them uses it.

    Attributes:
        made: by what it depends on.
    """

    def __init__(self) -> None:
        self.made: dict[str, object] = {}
        self._users: Counter[str] = Counter()

    def take(self, key: str, make: Callable[[], object]) -> None:
        """Count one more user of what ``make`` gives, which is called if there is none yet."""
        if key not in self.made:
            self.made[key] = make()
        self._users[key] += 1

    def release(self, key: str) -> None:
        """Count one user less; nothing is kept for nobody."""
        self._users[key] -= 1
        if not self._users[key]:
            del self.made[key], self._users[key]


class Shared:
    """Data and features of runs in turn, kept while what they depend on stays the same.

    What was read stays what it was: files that change between two trials of a search do not count.

    Args:
        member: of a pack, whose passes are shared too; None computes alone.
        kept: where things are kept, the same of all members of a pack.
    """

    def __init__(self, member: Member | None = None, kept: Kept | None = None) -> None:
        self.member = member
        self._kept = kept or Kept()
        self._uses: dict[str, str] = {}

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
        key = f"{name}: {key}"
        if self._uses.get(name) != key:
            if (before := self._uses.pop(name, None)) is not None:
                self._kept.release(before)  # first, for two would need twice the memory
            self._kept.take(key, make)
            self._uses[name] = key
        return cast(T, self._kept.made[key])


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
