"""Several processes that train one run together, each on a share of every batch; or one alone, for
which all of this does nothing. Those of torchrun are :mod:`hydra_peft.training.torchrun`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from hydra_peft.errors import UserError

T = TypeVar("T")


@dataclass(frozen=True)
class Share:
    """One process's part of a batch.

    Attributes:
        rows: positions of its images, at least one.
        count: how many of them it stands for: all, or none if the batch is too small for it.
        weight: ``count`` over the batch's size: the sum of all processes' weighted mean losses is
            the batch's mean loss, also where shares differ in size.
    """

    rows: Tensor
    count: int
    weight: float

    def weigh(self, loss: Tensor, count: int) -> Tensor:
        """Return what ``loss``, the mean over ``count`` rows, adds to the batch's mean loss."""
        weight = self.weight * (count / len(self.rows))
        return loss if weight == 1.0 else loss * weight


class World:
    """Group of processes that train one run, seen from one of them; by default a single process.

    All of them call the methods in the same order; those that have to wait for another raise
    ``PeerLost`` of :mod:`hydra_peft.training.peers`, or KeyboardInterrupt, when one of the others
    has ended.

    Attributes:
        rank, size: the number of this process, and of how many.
        lost: which of the others ended before its time, in words, once that has been noticed.
    """

    rank = 0
    size = 1
    lost: str | None = None

    @property
    def is_main(self) -> bool:
        """Whether this is the main process, rank 0: the only one that writes and prints."""
        return self.rank == 0

    def local_device(self, device: torch.device) -> torch.device:
        """Return the device of this process, of the kind of ``device``."""
        return device

    def share(self, rows: Tensor) -> Share:
        """Return this process's part of the batch ``rows``."""
        return Share(rows, len(rows), 1.0)

    def all_reduce(
        self,
        parameters: Sequence[Tensor],  # noqa: ARG002
        loss: Tensor,
        right: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Sum gradients of ``parameters``, in place, and two scalars; return the scalars' sums."""
        return loss, right

    def total(self, count: int) -> int:
        """Return the sum of the processes' counts."""
        return count

    def gather_batches(
        self,
        batches: Sequence[Tensor],
        size: int,  # noqa: ARG002
        count: int,  # noqa: ARG002
    ) -> Tensor:
        """Return the rows of all processes' ``batches`` in the order of the whole, on the CPU.

        Args:
            batches: this process's, float32: number ``rank`` of the whole and each ``size``-th on.
            size: rows of every batch but the last.
            count: rows of the whole.
        """
        return torch.cat(list(batches)).cpu()

    def any(self, flag: bool) -> bool:
        """Return whether ``flag`` is true in any process."""
        return self.total(int(flag)) > 0

    def broadcast(self, value: T) -> T:
        """Return the main process's ``value``, which json can hold."""
        return value

    def broadcast_bytes(self, data: bytes) -> bytes:
        """Return the main process's ``data``."""
        return data

    def main_first(self, action: Callable[[], T]) -> T:
        """Do ``action`` in the main process, then in the others, which find its caches filled.

        Returns:
            This process's own result of ``action``.
        """
        if self.is_main:
            done = action()
            self.broadcast(None)
            return done
        self.broadcast(None)
        return action()

    def all_gather(self, data: bytes) -> list[bytes]:
        """Return the processes' ``data``, by rank; all of one length."""
        return [data]

    def check_same(self, what: str, text: str) -> None:
        """Check that all processes have the same ``text``."""
        if len({*self.all_gather(hashlib.sha256(text.encode()).digest())}) > 1:
            raise UserError(
                f"the processes of this run have not the same {what}: give each machine the same "
                "command, code, weights and data."
            )


#: joined before Hydra starts, which hands a job its config and nothing else
_current = World()


def current() -> World:
    """Return the processes that this one trains with: none, unless it joined some."""
    return _current


def join(world: World) -> None:
    """Train with the processes of ``world`` from now on: :func:`current` returns it."""
    global _current
    _current = world
