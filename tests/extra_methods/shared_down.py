"""A method with a factor shared by all layers, after VeRA (arXiv 2310.11454), in one module."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hydra_peft.adapters.base import Adapter
from hydra_peft.adapters.surgery import replace_module
from hydra_peft.adapters.targets import find_linear_layers
from hydra_peft.methods import Method


class SharedDownLinear(Adapter):
    """``h = W0 x + b0 + U (g * D x)`` with U of this layer; D, and a frozen g, of all layers."""

    base: nn.Linear

    def __init__(self, base: nn.Linear, down: nn.Parameter, gains: nn.Parameter) -> None:
        super().__init__()
        self.base, self.down, self.gains = base, down, gains
        self.up = nn.Parameter(base.weight.new_zeros(base.out_features, len(down)))

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + F.linear(self.gains * F.linear(x, self.down), self.up)

    def merged(self) -> nn.Linear:
        base = self.base
        plain = nn.Linear(base.in_features, base.out_features, device="meta")
        update = self.up.double() @ (self.gains[:, None] * self.down).double()
        weight = (base.weight.double() + update).to(base.weight.dtype)
        plain.weight = nn.Parameter(weight.detach(), requires_grad=False)
        plain.bias = nn.Parameter(base.bias.detach().clone(), requires_grad=False)
        return plain.train(self.training)


@dataclass(frozen=True)
class SharedDown(Method):
    """One trained down-projection for all layers, an up-projection for each."""

    name: ClassVar[str] = "shared_down"
    targets: list[str] = field(default_factory=lambda: ["attn.proj"])
    rank: int = 2

    def apply(self, model: nn.Module, head: tuple[str, ...]) -> list[str]:
        layers = find_linear_layers(model, self.targets, exclude=head)
        like = next(iter(layers.values())).weight
        down = nn.Parameter(nn.init.normal_(like.new_empty(self.rank, like.shape[1]), std=0.1))
        gains = nn.Parameter(torch.rand_like(down[:, 0]), requires_grad=False)
        for layer in layers.values():
            replace_module(model, layer, SharedDownLinear(layer, down, gains))
        return list(layers)


METHOD = SharedDown
