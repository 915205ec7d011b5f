"""A method that trains biases of the backbone itself, after BitFit (arXiv 2106.10199)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from hydra_peft.methods import Method

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class OwnBiases(Method):
    """The biases of the backbone, or those whose names end in ``ending``."""

    name: ClassVar[str] = "own_biases"
    ending: str = "bias"

    def apply(self, model: nn.Module, head: tuple[str, ...]) -> list[str]:  # noqa: ARG002
        for name, parameter in model.named_parameters():
            if name.endswith(self.ending):
                parameter.requires_grad_(True)
        return []


METHOD = OwnBiases
