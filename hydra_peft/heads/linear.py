"""The linear head: one layer from features to outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from hydra_peft.heads._base import Head, put_linear

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Linear(Head):
    """The classifier that timm gives the backbone, in torch's usual initialisation of a layer."""

    name: ClassVar[str] = "linear"

    def attach(self, backbone: nn.Module, outputs: int) -> tuple[str, ...]:
        """Reset the classifier of ``backbone``, as the paper's code does."""
        return put_linear(backbone, outputs)


HEAD = Linear
