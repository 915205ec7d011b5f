"""RoBERTa's head for sequences: a dense layer, tanh, a linear layer (arXiv 1907.11692)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from hydra_peft.heads._base import Head, put_in_place_of_linear
from hydra_peft.limits import Share

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Roberta(Head):
    """``out_proj(drop(tanh(dense(drop(x)))))``, whose dense layer is as wide as the features.

    Names and values at the start are those of transformers' ``RobertaForSequenceClassification``:
    weights normal with deviation 0.02, biases 0. 592,130 parameters for two outputs at width 768.

    Attributes:
        dropout: before both layers.
    """

    name: ClassVar[str] = "roberta"
    dropout: Share = 0.1

    def attach(self, backbone: nn.Module, outputs: int) -> tuple[str, ...]:
        """Put the head in the place of the backbone's linear classifier."""
        from hydra_peft.heads._roberta_module import RobertaHead

        def build(width: int) -> nn.Module:
            return RobertaHead(width, outputs, self.dropout)

        return put_in_place_of_linear(backbone, outputs, build)


HEAD = Roberta
