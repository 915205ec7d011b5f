"""A low-rank branch that starts from a weight's largest singular values: PiSSA."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hydra_peft.adapters.linear_adapter import cast
from hydra_peft.adapters.low_rank_branch import Factors, LowRankBranch


class PrincipalBranch(LowRankBranch):
    r"""A branch that trains the principal part of a weight.

    With the singular value decomposition :math:`W_0 = U S V^T`, scale s and rank r it starts at

    .. math:: A_0 = (S_r / s)^{1/2} V_r^T, \qquad B_0 = U_r (S_r / s)^{1/2}

    (Meng et al., arXiv 2404.02948, eqs. 2 and 3) and gives :math:`B A x - B_0 A_0 x`, so that with
    the branch's scale the paper's residual :math:`W_0 - s B_0 A_0` is what stays frozen. A0 and B0
    are kept and saved as frozen tensors beside A and B: the frozen weight keeps its bits, and a
    saved adapter needs no second decomposition, whose digits differ between machines. Dropout acts
    on the trained product alone, as in peft.

    Args:
        weight: W0, ``[out, in]``.
        rank: r, at most the smaller width.
        scale: s, positive.
        **options: as of :class:`~hydra_peft.adapters.low_rank_branch.LowRankBranch`.
    """

    def __init__(self, weight: Tensor, rank: int, *, scale: float, **options: Any) -> None:
        width_out, width_in = weight.shape
        options |= {"device": weight.device, "dtype": weight.dtype}
        super().__init__(width_in, width_out, rank, **options)
        down, up = (part.to(weight.dtype) for part in principal_factors(weight, rank, scale))
        self.first_down = nn.Parameter(down, requires_grad=False)
        self.first_up = nn.Parameter(up, requires_grad=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set both projections to those of the start, and both biases to zero."""
        super().reset_parameters()
        if "first_up" not in self._parameters:  # called while the projections are made
            return
        with torch.no_grad():
            self.down.weight.copy_(self.first_down)
            self.up.weight.copy_(self.first_up)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[..., in_features]`` of any dtype to ``[..., out_features]`` of the branch's."""
        x = x.to(self.down.weight.dtype)
        first = functional.linear(functional.linear(x, self.first_down), self.first_up)
        return super().forward(x) - first

    def factors(self, dtype: torch.dtype) -> Factors:
        """Return the factors of both products, those of the start behind the trained ones."""
        down, shift, up, offset = super().factors(dtype)
        down = torch.cat([down, cast(self.first_down, dtype)])
        up = torch.cat([up, -cast(self.first_up, dtype)], dim=1)
        shift = None if shift is None else torch.cat([shift, torch.zeros_like(shift)])
        return down, shift, up, offset

    def mask(self, like: Tensor) -> Tensor:
        """Draw the dropout mask for the trained features; those of the start are never dropped."""
        mask = super().mask(like)
        return torch.cat([mask, torch.ones_like(mask)], dim=-1)


def principal_factors(weight: Tensor, rank: int, scale: float) -> tuple[Tensor, Tensor]:
    """Return A0 ``[rank, in]`` and B0 ``[out, rank]`` of a weight ``[out, in]``, see above.

    Computed in at least the precision of float32.
    """
    wide = weight.detach().to(torch.promote_types(weight.dtype, torch.float32))
    left, values, right = torch.linalg.svd(wide, full_matrices=False)
    root = (values[:rank] / scale).sqrt()
    return root[:, None] * right[:rank], left[:, :rank] * root
