"""The module of RoBERTa's head; it loads torch."""

from __future__ import annotations

from torch import Tensor, nn

_DEVIATION = 0.02


class RobertaHead(nn.Module):
    """``[b, width]`` to ``[b, outputs]``; see :class:`hydra_peft.heads.roberta.Roberta`."""

    def __init__(self, width: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.out_proj = nn.Linear(width, outputs)
        for layer in (self.dense, self.out_proj):
            nn.init.normal_(layer.weight, std=_DEVIATION)
            nn.init.zeros_(layer.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Map the features of a text to outputs."""
        hidden = self.dense(self.dropout(features)).tanh()
        out: Tensor = self.out_proj(self.dropout(hidden))
        return out


__all__ = ["RobertaHead"]
