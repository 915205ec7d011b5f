"""A member of a pack: what one run after another in it computes with, and whether it is to stop."""

from __future__ import annotations

from collections.abc import Hashable

from torch import Tensor

from hydra_peft.packing.pack import Pack
from hydra_peft.training.passes import Pass


class Member:
    """One of those who take turns in ``pack``.

    Attributes:
        together: the most runs that shared a pass of the present run.
    """

    def __init__(self, pack: Pack) -> None:
        self.together = 1
        self._pack = pack
        self._key: Hashable = None

    def begin(self, key: Hashable) -> None:
        """Begin a run, whose passes are done with those of an equal ``key``."""
        self.together, self._key = 1, key

    def compute(self, one: Pass) -> tuple[Tensor, Tensor]:
        """Do a pass; see :data:`~hydra_peft.training.passes.Compute`."""
        found, together = self._pack.compute(one, self._key)
        self.together = max(self.together, together)
        return found

    def is_stopped(self) -> bool:
        """Whether the run is to write a checkpoint and end."""
        return self._pack.stopped.is_set()
