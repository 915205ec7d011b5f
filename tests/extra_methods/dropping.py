"""A method that acts before each step, after AdapterDrop (arXiv 2010.11918), and cannot merge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from hydra_peft.adapters.base import Adapter, NotMergeable
from hydra_peft.adapters.surgery import replace_module
from hydra_peft.methods import Method


class Bottleneck(Adapter):
    """``h + U relu(D h)`` behind a block's MLP; in training left out where it is dropped."""

    def __init__(self, base: nn.Module, width: int, rank: int) -> None:
        super().__init__()
        self.base, self.dropped = base, False
        self.down, self.up = nn.Linear(width, rank), nn.Linear(rank, width)
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.base(x)
        if self.training and self.dropped:
            return out
        return out + self.up(torch.relu(self.down(out)))

    def merged(self) -> nn.Module:
        raise NotMergeable("its ReLU cannot be written into a linear layer's weights")


@dataclass(frozen=True)
class Dropping(Method):
    """Adapters behind each MLP; each step trains without those of the first m blocks."""

    name: ClassVar[str] = "dropping"
    rank: int = 2

    def apply(self, model: nn.Module, head: tuple[str, ...]) -> list[str]:  # noqa: ARG002
        found = {n: m for n, m in model.named_modules() if n.endswith(".mlp")}
        for mlp in found.values():
            replace_module(model, mlp, Bottleneck(mlp, mlp.fc2.out_features, self.rank))
        return list(found)

    def before_step(self, model: nn.Module, step: int, random: torch.Generator) -> None:  # noqa: ARG002
        adapters = [module for module in model.modules() if isinstance(module, Bottleneck)]
        first = int(torch.randint(len(adapters), (), generator=random))
        for index, adapter in enumerate(adapters):
            adapter.dropped = index < first


METHOD = Dropping
