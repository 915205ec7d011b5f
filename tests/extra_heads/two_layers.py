"""A head of two layers, RoBERTa's for sequences (arXiv 1907.11692; fairseq and transformers)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from hydra_peft.heads._base import Head, put_in_place_of_linear
from hydra_peft.limits import Limits, Share

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class TwoLayers(Head):
    """Dense layer, tanh, dropout, dense layer."""

    name: ClassVar[str] = "two_layers"
    hidden: Annotated[int, Limits(least=1, most=10_000)]
    dropout: Share

    def attach(self, backbone: nn.Module, outputs: int) -> tuple[str, ...]:
        from torch import nn

        return put_in_place_of_linear(
            backbone,
            outputs,
            lambda width: nn.Sequential(
                nn.Linear(width, self.hidden),
                nn.Tanh(),
                nn.Dropout(self.dropout),
                nn.Linear(self.hidden, outputs),
            ),
        )


HEAD = TwoLayers
