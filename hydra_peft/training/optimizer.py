"""The optimizer over adapter and head."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


def build_adamw(
    parameters: Sequence[nn.Parameter],
    *,
    lr: float,
    weight_decay: float,
    betas: Sequence[float],
    eps: float,
) -> torch.optim.AdamW:
    """Return AdamW over ``parameters`` as one group, in torch's fused form."""
    beta1, beta2 = betas
    return torch.optim.AdamW(
        list(parameters),
        lr=lr,
        weight_decay=weight_decay,
        betas=(beta1, beta2),
        eps=eps,
        fused=True,
    )
