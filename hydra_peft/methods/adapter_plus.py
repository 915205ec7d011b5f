"""Adapter+: adapters behind whole blocks, scaled by channel (Steitz and Roth, arXiv 2406.06820)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hydra_peft.limits import Share
from hydra_peft.methods._bottleneck import BottleneckMethod, Position, Scaling


@dataclass(frozen=True)
class AdapterPlus(BottleneckMethod):
    """``z + s * DropPath(W_up GELU(W_down z + b_down) + b_up)`` of each block's output z.

    With z of ``[..., width]`` and a trained s of ``[width]``, 1 at the start. The defaults are
    those of visinf/adapter_plus, whose recipe has no value of a single task: both weights from
    N(0, 0.01^2) cut at two deviations, drop path 0.1; 165,984 parameters on ViT-B/16. Their
    backbone has ``model.drop_path=0.1`` beside it.
    """

    name: ClassVar[str] = "adapter_plus"
    position: Position = "post"
    scaling: Scaling = "channel"
    drop_path: Share = 0.1


METHOD = AdapterPlus
