"""Elastic adapters of a supernet: modules of which each step trains, and each subnet is, a part.

A subnet takes the first so many rows of a part's tensors, so that all share their weights
(ZhangYuanhan-AI/NOAH; slimmable networks). Size 0 leaves a part out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hydra_peft.adapters.activations import activation
from hydra_peft.adapters.base import Adapter, NotMergeable
from hydra_peft.adapters.bottleneck import Bottleneck
from hydra_peft.adapters.initializers import initializer
from hydra_peft.adapters.prompts import PromptedBlock


class Elastic(nn.Module):
    """A part of a supernet.

    Attributes:
        kind: ``adapter``, ``lora`` or ``prompts``.
        drawn, chosen: its size in training steps and at evaluation.
    """

    kind: str
    drawn: int
    chosen: int

    def stretch(self, most: int) -> None:
        """Take ``most`` as the size in both modes."""
        self.drawn = self.chosen = most

    @property
    def size(self) -> int:
        """The size that acts."""
        return self.drawn if self.training else self.chosen


class ElasticBottleneck(Elastic, Bottleneck):
    """The branch of an adapter, of which the first ``size`` features act; no norm, no scale."""

    kind = "adapter"

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[..., width]`` to the same; zero at size 0."""
        count = self.size
        if not count:
            return torch.zeros_like(x)
        z = F.linear(x, self.down.weight[:count], self.down.bias[:count])
        features = self.dropout(activation(self.activation)(z))
        return F.linear(features, self.up.weight[:, :count], self.up.bias)


class ElasticLora(Elastic, Adapter):
    """``base(x) + A_up[:, :size] A_down[:size] Drop(x)`` around a linear layer; no biases."""

    kind = "lora"

    def __init__(self, base: nn.Linear, rank: int, *, dropout: float, init: str) -> None:
        super().__init__()
        self.base = base
        self.down = nn.Parameter(base.weight.new_empty(rank, base.in_features))
        self.up = nn.Parameter(base.weight.new_empty(base.out_features, rank))
        for factor in (self.down, self.up):
            initializer(init)(factor)
        self.dropout = nn.Dropout(dropout)
        self.stretch(rank)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[..., in]`` to ``[..., out]``."""
        out: Tensor = self.base(x)
        count = self.size
        if not count:
            return out
        return out + F.linear(F.linear(self.dropout(x), self.down[:count]), self.up[:, :count])

    def merged(self) -> nn.Module:
        """Refuse.

        Raises:
            NotMergeable: always.
        """
        raise NotMergeable("a supernet is many models, one of which would have to be chosen")


class ElasticPrompts(Elastic, PromptedBlock):
    """A block that sees the first ``size`` of its learned tokens behind the patches."""

    kind = "prompts"

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Map ``[batch, tokens, width]`` to the same."""
        assert self.prompts is not None, "each block has its own"
        own = self.dropout(self.prompts[: self.size]).to(x.dtype).expand(x.shape[0], -1, -1)
        out: Tensor = self.base(torch.cat((x, own), dim=1), *args, **kwargs)
        return out[:, : x.shape[1]]


def elastic_parts(model: nn.Module, kind: str) -> list[Elastic]:
    """Return the parts of ``kind``, in the order of the blocks."""
    return [m for m in model.modules() if isinstance(m, Elastic) and m.kind == kind]


def set_sizes(parts: Sequence[Elastic], sizes: Sequence[int], *, training: bool) -> None:
    """Set the size of each part, in training steps or at evaluation."""
    for part, size in zip(parts, sizes, strict=True):
        if training:
            part.drawn = size
        else:
            part.chosen = size
