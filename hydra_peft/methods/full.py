"""Full fine-tuning: every parameter of the backbone and the head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from hydra_peft.methods._base import Method

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Full(Method):
    """Full fine-tuning."""

    name: ClassVar[str] = "full"
    trains_backbone: ClassVar[bool] = True

    def apply(self, model: nn.Module, head: tuple[str, ...]) -> list[str]:  # noqa: ARG002
        """Let every floating-point parameter train."""
        for parameter in model.parameters():
            parameter.requires_grad_(parameter.is_floating_point())
        return []


METHOD = Full
