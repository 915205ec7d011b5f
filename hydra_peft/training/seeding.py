"""One seed for a run, one stream of random numbers for each purpose in it."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from hydra_peft.training.random_states import (
    random_states,
    set_random_states,
    set_torch_states,
    torch_states,
)


def derive_seed(seed: int, purpose: str) -> int:
    """Return a seed for one purpose of a run, in [0, 2**63).

    Each purpose has a stream of its own, so that drawing more numbers for one (a larger adapter,
    a backbone that was in memory already) leaves the others as they were: two methods with the
    same seed see the same batches and start from the same head.
    """
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def seed_everything(seed: int) -> None:
    """Seed the global generators of Python, numpy and torch (all devices)."""
    RandomStreams.release()
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def generator(seed: int, purpose: str) -> torch.Generator:
    """Return a CPU generator for one purpose of a run."""
    return torch.Generator().manual_seed(derive_seed(seed, purpose))


class RandomStreams:
    """The random numbers of one training, which its steps draw from the global generators.

    A context manager around each step: within it the global generators are where the step before
    left them. torch's are put back at every step; Python's and numpy's, which takes a tenth of a
    millisecond, only where something else was seeded or trained since.

    Args:
        states: as :func:`~hydra_peft.training.random_states.random_states` returns them.
        device: what computes.
    """

    #: whose numbers the generators of Python and numpy hold
    _holder: ClassVar[RandomStreams | None] = None

    def __init__(self, states: Mapping[str, Tensor], device: torch.device) -> None:
        self._states = dict(states)
        self._device = device

    @classmethod
    def seeded(cls, seed: int, rank: int, done: int, device: torch.device) -> RandomStreams:
        """Return the numbers that process ``rank`` of a run draws after ``done`` steps.

        The global generators stay as they are.
        """
        numbers = [f"{rank}"] * (rank > 0) + [f"{done}"] * (done > 0)
        before = random_states(device)
        seed_everything(derive_seed(seed, "/".join(["training", *numbers])))
        streams = cls(random_states(device), device)
        set_random_states(before, device)
        return streams

    def states(self) -> dict[str, Tensor]:
        """Return the states after the latest step."""
        if RandomStreams._holder is self:
            self._states = random_states(self._device) | self._torch
        return self._states

    @staticmethod
    def release() -> None:
        """Let whoever holds the generators of Python and numpy note their states."""
        if RandomStreams._holder is not None:
            RandomStreams._holder.states()
            RandomStreams._holder = None

    def __enter__(self) -> RandomStreams:
        if RandomStreams._holder is self:
            set_torch_states(self._torch, self._device)
            return self
        self.release()
        set_random_states(self._states, self._device)
        RandomStreams._holder = self
        return self

    def __exit__(self, *ending: object) -> None:
        self._torch = torch_states(self._device)

    @contextmanager
    def torch_alone(self) -> Iterator[None]:
        """Draw torch's numbers alone, which costs microseconds whoever drew before.

        For runs that draw in turn within one pass; their first step has begun.
        """
        set_torch_states(self._torch, self._device)
        yield
        self._torch = torch_states(self._device)
        self._states |= self._torch

    def drawn(self) -> Mapping[str, Tensor]:
        """Return where torch's numbers are after the latest step."""
        return self._torch

    def draw_again(self, state: Mapping[str, Tensor]) -> None:
        """Draw those of torch's numbers anew that were drawn since :meth:`drawn` gave ``state``."""
        self._torch = dict(state)
        self._states |= self._torch

    def twin(self) -> RandomStreams:
        """Return another one, which draws the same numbers."""
        twin = RandomStreams(self.states(), self._device)
        twin._torch = self._torch
        return twin
