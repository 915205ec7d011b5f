"""DoRA's layer: a low-rank update of a weight's direction beside trained lengths of its rows."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from hydra_peft.adapters.initializers import initializer
from hydra_peft.adapters.linear_adapter import LinearAdapter, cast, without_autocast
from hydra_peft.adapters.surgery import is_intercepted


class DoraLinear(LinearAdapter):
    r"""A linear layer whose weight is taken apart into lengths and directions of its rows.

    .. math:: h = m \circ \frac{W_0 + s B A}{\lVert W_0 + s B A \rVert} x + b_0

    The norm is that of each row, ``[out]``, and counts as a constant in gradients (Liu et al.,
    arXiv 2402.09353, eq. 5 and section 4.3; so do the release, NVlabs/DoRA, and peft). At the start
    B = 0 and m = ||W0||, so the layer is the frozen one. Dropout acts on what reads the update, as
    there: ``h = W0 x + (g - 1) W0 x' + g s B A x' + b0`` with g = m / ||W0 + s B A||, x' the input
    after dropout.

    Args:
        base: the layer to adapt; kept as ``self.base`` and frozen.
        rank: of the update of the direction.
        scale: factor s of that update.
        dropout: dropout probability on the update's input.
        init: initialiser of A: ``gaussian``, ``xavier`` or ``kaiming``.

    Shapes: ``[..., in_features]`` to ``[..., out_features]``; A ``[rank, in]``, B ``[out, rank]``,
    m ``[out]``, in the dtype and on the device of ``base.weight``.
    """

    def __init__(
        self,
        base: nn.Linear,
        *,
        rank: int,
        scale: float = 1.0,
        dropout: float = 0.0,
        init: str = "kaiming",
    ) -> None:
        super().__init__()
        weight = base.weight
        self.base = base.requires_grad_(False)
        self.down = nn.Parameter(weight.new_empty(rank, base.in_features))
        self.up = nn.Parameter(weight.new_zeros(base.out_features, rank))
        self.magnitude = nn.Parameter(_row_lengths(weight.detach()))
        initializer(init)(self.down)
        self.scale = scale
        self.dropout = nn.Dropout(dropout)
        self.train(base.training)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[..., in_features]`` to ``[..., out_features]``."""
        gain, read = self._gain(), self.dropout(x)
        frozen = functional.linear(read, self.base.weight)
        update = functional.linear(functional.linear(read, self.down), self.up)
        # Lengths that differ by less than half precision tells are multiplied in full.
        if self.drops() or is_intercepted(self.base):  # its hooks are called
            out = self.base(x) + (gain - 1) * frozen + gain * self.scale * update
        else:
            out = gain * (frozen + self.scale * update)
            out = out if self.base.bias is None else out + self.base.bias
        return out.to(frozen.dtype)

    def folded(self, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
        """Return the weight with new lengths and directions of its rows, and the frozen bias."""
        return self._gain(dtype)[:, None] * self._directed(dtype), cast(self.base.bias, dtype)

    def drops(self) -> bool:
        """Whether dropout on the update's input acts in the current mode."""
        return self.training and self.dropout.p > 0

    def _directed(self, dtype: torch.dtype) -> Tensor:
        """Return ``W0 + s B A``."""
        down, up = cast(self.down, dtype), cast(self.up, dtype)
        return torch.addmm(cast(self.base.weight, dtype), up, down, alpha=self.scale)

    def _gain(self, dtype: torch.dtype | None = None) -> Tensor:
        """Return m over the rows' lengths, ``[out]``, in at least the precision of float32."""
        dtype = dtype or torch.promote_types(self.base.weight.dtype, torch.float32)
        with torch.no_grad(), without_autocast(self.base.weight):
            # detached, since forward mode looks past no_grad
            lengths = _row_lengths(self._directed(dtype)).detach()
        # A row of zeros has no direction: it stays zero.
        return cast(self.magnitude, dtype) / lengths.clamp_min(torch.finfo(dtype).tiny)

    def extra_repr(self) -> str:
        """One line for ``print(model)``."""
        return f"rank={len(self.down)}, scale={self.scale}"


def _row_lengths(weight: Tensor) -> Tensor:
    """Return the Euclidean length of each row of ``[out, in]``."""
    return torch.linalg.vector_norm(weight, dim=1)
