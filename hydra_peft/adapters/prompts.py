"""Learned tokens among those of a transformer's blocks (VPT)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from hydra_peft.adapters.base import Adapter, NotMergeable


class PromptedBlock(Adapter):
    """A frozen block that sees learned tokens behind the class token.

    Args:
        base: the block, from ``[batch, tokens, width]`` to the same shape.
        prompts: learned tokens ``[count, width]`` that it sees; None where it sees those that
            another block was given.
        count: number of learned tokens.
        prefix: number of tokens before the patches: class token, registers.
        arrive: whether tokens of an earlier block arrive; ``prompts`` take their place.
        leave: whether they leave with the output; False takes them out, so that norm, pooling and
            head see what they see of the frozen backbone.
        dropout: dropout probability on ``prompts``.
    """

    def __init__(
        self,
        base: nn.Module,
        *,
        prompts: nn.Parameter | None,
        count: int,
        prefix: int,
        arrive: bool,
        leave: bool,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.prompts = prompts
        self.dropout = nn.Dropout(dropout)
        self.count, self.prefix, self.arrive, self.leave = count, prefix, arrive, leave
        self.train(base.training)

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Map ``[batch, tokens, width]`` to the same, with or without the learned tokens."""
        if self.prompts is not None:
            own = self.dropout(self.prompts).to(x.dtype).expand(x.shape[0], -1, -1)
            patches = self.prefix + (self.count if self.arrive else 0)
            x = torch.cat((x[:, : self.prefix], own, x[:, patches:]), dim=1)
        out: Tensor = self.base(x, *args, **kwargs)
        if self.leave:
            return out
        return torch.cat((out[:, : self.prefix], out[:, self.prefix + self.count :]), dim=1)

    def merged(self) -> nn.Module:
        """Refuse: learned tokens are no weights of a block.

        Raises:
            NotMergeable: always.
        """
        raise NotMergeable("learned tokens lengthen the sequence, which no weights do")

    def extra_repr(self) -> str:
        """One line for ``print(model)``."""
        return f"{self.count} tokens" + ("" if self.prompts is None else ", its own")


def prompt_bound(patch: int, width: int) -> float:
    """Return the bound of the uniform distribution that prompts start from.

    That is Xavier's for the patch embedding (KMnP/vpt, ``models/vit_prompt/vit.py``): 0.0625 for
    patches of 16 pixels and 768 features.
    """
    return math.sqrt(6.0 / (3 * patch**2 + width))
