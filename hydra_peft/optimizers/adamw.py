"""AdamW: Adam with decoupled weight decay (Loshchilov and Hutter, arXiv 1711.05101)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from hydra_peft.errors import UserError
from hydra_peft.limits import Limits, Share
from hydra_peft.optimizers._base import Optimizer

if TYPE_CHECKING:
    import torch

#: below the least float32 has no digits to divide by; 1 is the largest in use (Inception's)
Epsilon = Annotated[float, Limits(least=1e-30, most=1, logarithmic=True)]


@dataclass(frozen=True)
class AdamW(Optimizer):
    """AdamW in torch's fused form.

    Attributes:
        betas: decay rates of the two moments.
        eps: added to the root of the second moment.
    """

    name: ClassVar[str] = "adamw"
    betas: list[Share]
    eps: Epsilon

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.betas) != 2:
            raise UserError(f"optimizer.betas={self.betas} is not allowed: it must be two numbers.")

    def build(self, parameters: Sequence[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """Return :class:`torch.optim.AdamW` over ``parameters``."""
        import torch

        return torch.optim.AdamW(
            list(parameters),
            lr=self.lr,
            weight_decay=self.weight_decay,
            betas=(self.betas[0], self.betas[1]),
            eps=self.eps,
            fused=True,
        )


OPTIMIZER = AdamW
