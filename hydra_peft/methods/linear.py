"""Linear probing: the head alone on a frozen backbone in evaluation mode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from hydra_peft.methods._base import Method

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Linear(Method):
    """Linear probing."""

    name: ClassVar[str] = "linear"
    backbone_in_eval: ClassVar[bool] = True

    def apply(self, model: nn.Module, head: tuple[str, ...]) -> list[str]:  # noqa: ARG002
        """Nothing to do: everything but the head is frozen already."""
        return []


METHOD = Linear
