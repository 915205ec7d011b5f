"""Learned tokens among those of a transformer's blocks (VPT)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from hydra_peft.adapters.base import Adapter, NotMergeable


class PromptedBlock(Adapter):
    """A frozen block that sees learned tokens among those of the image.

    Args:
        base: the block, from ``[batch, tokens, width]`` to the same shape; left as it is, since
            layers in it may carry adapters.
        prompts: learned tokens ``[count, width]`` that it sees, in the place of those that arrive;
            None where it sees the latter.
        arriving: number of learned tokens that arrive with its input.
        prefix: number of tokens before the learned ones, class token and registers; None where the
            learned ones come last, behind the patches.
        leave: whether they leave with the output; False takes them out, so that norm, pooling and
            head see what they see of the frozen backbone.
        dropout: dropout probability on ``prompts``.
    """

    own_dtype = True

    def __init__(
        self,
        base: nn.Module,
        *,
        prompts: nn.Parameter | None,
        arriving: int,
        prefix: int | None,
        leave: bool,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.base = base
        self.prompts = prompts
        self.dropout = nn.Dropout(dropout)
        self.arriving, self.prefix, self.leave = arriving, prefix, leave
        self.count = arriving if prompts is None else len(prompts)
        self.train(base.training)

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Map ``[batch, tokens, width]`` to the same, with or without the learned tokens."""
        if self.prompts is not None:
            before, after = self._split(x, self.arriving)
            own = self.dropout(self.prompts).to(x.dtype).expand(x.shape[0], -1, -1)
            x = torch.cat((before, own, after), dim=1)
        out: Tensor = self.base(x, *args, **kwargs)
        return out if self.leave else torch.cat(self._split(out, self.count), dim=1)

    def _split(self, x: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Return the tokens before and behind ``count`` learned ones."""
        place = x.shape[1] - count if self.prefix is None else self.prefix
        return x[:, :place], x[:, place + count :]

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
