"""A network small enough for exact arithmetic."""

from __future__ import annotations

import torch
from torch import nn


class TinyNet(nn.Module):
    """Two blocks with the layer names of a timm ViT, and a head."""

    def __init__(self, width: int = 12, classes: int = 3) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.ModuleDict(
                {
                    "attn": nn.ModuleDict({"proj": nn.Linear(width, width)}),
                    "mlp": nn.ModuleDict(
                        {"fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)}
                    ),
                }
            )
            for _ in range(2)
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = x + block["attn"]["proj"](x)
            x = x + block["mlp"]["fc2"](torch.relu(block["mlp"]["fc1"](x)))
        return self.head(self.norm(x))
