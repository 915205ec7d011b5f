"""The low-rank adapted linear layer: a frozen layer with a parallel and a sequential branch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hydra_peft.adapters.base import Adapter
from hydra_peft.adapters.initializers import initializer
from hydra_peft.errors import UserError


class LowRankBranch(nn.Module):
    """Down-projection to ``rank`` features, dropout on them, up-projection; no non-linearity.

    Args:
        in_features: width of the input, shape ``[..., in_features]``.
        out_features: width of the output, shape ``[..., out_features]``.
        rank: width in between, at least 1.
        dropout: probability of zeroing one of the ``rank`` features in training.
        bias: whether both projections have a bias (starting at zero).
        init: name of the down-projection's initialiser; the up-projection starts at zero.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        rank: int,
        *,
        dropout: float = 0.0,
        bias: bool = True,
        init: str = "gaussian",
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.down = nn.Linear(in_features, rank, bias=bias, device=device, dtype=dtype)
        self.up = nn.Linear(rank, out_features, bias=bias, device=device, dtype=dtype)
        self.dropout = nn.Dropout(dropout)
        self.init = init
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the down-projection anew; set the up-projection and both biases to zero."""
        initializer(self.init)(self.down.weight)
        nn.init.zeros_(self.up.weight)
        for layer in (self.down, self.up):
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[..., in_features]`` to ``[..., out_features]``."""
        return self.up(self.dropout(self.down(x)))

    def matrix(self, dtype: torch.dtype) -> Tensor:
        """The branch's ``[out_features, in_features]`` matrix, computed in ``dtype``."""
        return self.up.weight.to(dtype) @ self.down.weight.to(dtype)

    def offset(self, dtype: torch.dtype) -> Tensor | None:
        """The branch's constant ``[out_features]`` term in ``dtype``; None without biases."""
        if self.up.bias is None:
            return None
        return self.up.weight.to(dtype) @ self.down.bias.to(dtype) + self.up.bias.to(dtype)


class LowRankLinear(Adapter):
    r"""A frozen linear layer with optional low-rank branches beside and behind it.

    .. math:: h = f + s\,A_{up} A_{down} x + s\,B_{up} B_{down} f, \qquad f = W_0 x + b_0

    The parallel branch (A) reads the layer's input, the sequential branch (B) reads the frozen
    layer's output, not the sum. B = 0 is LoRA (arXiv 2309.06922, eq. 2), A = 0 is SeqLoRA
    (eq. 6), both are Hydra (eq. 10). The scale s, the branch biases and the dropout on the rank-r
    features are those of the released code (extremebird/Hydra, ``vtab1k/hydra.py``).

    Args:
        base: the layer to adapt; kept as ``self.base`` and frozen.
        rank_parallel: rank of the parallel branch, 0 for none.
        rank_sequential: rank of the sequential branch, 0 for none.
        scale: factor s of both branches.
        dropout: dropout probability on the rank-r features of both branches.
        bias: whether the branches have biases; needs a ``base`` with a bias to merge into.
        init: initialiser of the down-projections: ``gaussian``, ``xavier`` or ``kaiming``.

    Shapes: ``[..., in_features]`` to ``[..., out_features]``. Branch parameters take the dtype and
    the device of ``base.weight``.

    Raises:
        UserError: no branch, a negative rank, a rank above the layer's own, a dropout outside
            [0, 1), or branch biases on a layer without bias.
    """

    base: nn.Linear

    def __init__(
        self,
        base: nn.Linear,
        *,
        rank_parallel: int = 0,
        rank_sequential: int = 0,
        scale: float = 1.0,
        dropout: float = 0.0,
        bias: bool = True,
        init: str = "gaussian",
    ) -> None:
        super().__init__()
        check_ranks(base, rank_parallel, rank_sequential)
        if not 0.0 <= dropout < 1.0:
            raise UserError(f"dropout={dropout} is not a probability: it must lie in [0, 1).")
        if bias and base.bias is None:
            raise UserError(
                "branch biases cannot be merged into a linear layer without bias: set bias=False."
            )
        width_in, width_out = base.in_features, base.out_features

        def branch(source: int, rank: int) -> LowRankBranch | None:
            if rank == 0:
                return None
            return LowRankBranch(
                source,
                width_out,
                rank,
                dropout=dropout,
                bias=bias,
                init=init,
                device=base.weight.device,
                dtype=base.weight.dtype,
            )

        self.base = base.requires_grad_(False)
        self.parallel = branch(width_in, rank_parallel)
        self.sequential = branch(width_out, rank_sequential)
        self.scale = scale
        self.train(base.training)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[..., in_features]`` to ``[..., out_features]`` (paper eq. 10)."""
        features = self.base(x)
        out = features
        if self.parallel is not None:
            out = out + self.scale * self.parallel(x)
        if self.sequential is not None:
            out = out + self.scale * self.sequential(features)
        return out

    @property
    def in_features(self) -> int:
        """Width of the input."""
        return self.base.in_features

    @property
    def out_features(self) -> int:
        """Width of the output."""
        return self.base.out_features

    @property
    def weight(self) -> Tensor:
        """The folded ``[out, in]`` weight, differentiable in the branches.

        Some modules (``nn.MultiheadAttention``, the fast path of ``nn.TransformerEncoderLayer``)
        read ``layer.weight`` instead of calling the layer; with this they see the adapter too.
        """
        self._refuse_folding_with_dropout()
        return self._folded(self.base.weight.dtype)[0]

    @property
    def bias(self) -> Tensor | None:
        """The folded ``[out]`` bias, the companion of :attr:`weight`."""
        self._refuse_folding_with_dropout()
        return self._folded(self.base.weight.dtype)[1]

    def merged(self) -> nn.Linear:
        """Return the plain ``nn.Linear`` that this layer equals in evaluation mode.

        W = W0 + s (A + B W0), b = b0 + s (a + B b0 + b) with a, b the branches' constant terms
        (paper eqs. 4, 8 and 12, extended by scale and branch biases). Computed in float64 and
        rounded once to the dtype of ``base``.
        """
        with torch.no_grad():
            weight, bias = self._folded(torch.float64)
        base = self.base
        plain = nn.Linear(base.in_features, base.out_features, bias is not None, device="meta")
        plain.weight = nn.Parameter(weight.to(base.weight.dtype), requires_grad=False)
        if bias is not None:
            plain.bias = nn.Parameter(bias.to(base.weight.dtype), requires_grad=False)
        return plain.train(self.training)

    def _folded(self, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
        weight = base_weight = self.base.weight.to(dtype)
        bias = base_bias = None if self.base.bias is None else self.base.bias.to(dtype)
        for branch in (self.parallel, self.sequential):
            if branch is None:
                continue
            matrix, offset = branch.matrix(dtype), branch.offset(dtype)
            if branch is self.sequential:
                weight = weight + self.scale * (matrix @ base_weight)
                if bias is not None and base_bias is not None:
                    bias = bias + self.scale * (matrix @ base_bias)
            else:
                weight = weight + self.scale * matrix
            if bias is not None and offset is not None:
                bias = bias + self.scale * offset
        return weight, bias

    def _refuse_folding_with_dropout(self) -> None:
        branches = [b for b in (self.parallel, self.sequential) if b is not None]
        if self.training and any(branch.dropout.p > 0 for branch in branches):
            raise RuntimeError(
                "this model reads the weight of an adapted layer instead of calling the layer, "
                "where dropout on the branches has no place: set dropout=0 or adapt another layer"
            )

    def extra_repr(self) -> str:
        """One line for ``print(model)``."""
        return f"scale={self.scale}"


def check_ranks(base: nn.Linear, rank_parallel: int, rank_sequential: int) -> None:
    """Check both ranks against a layer: at least one branch, none above the layer's own rank.

    Raises:
        UserError: the ranks do not fit; the message names the limits.
    """
    limits = {
        "parallel": (rank_parallel, min(base.in_features, base.out_features)),
        "sequential": (rank_sequential, base.out_features),
    }
    for branch, (rank, limit) in limits.items():
        if rank < 0 or rank > limit:
            raise UserError(
                f"rank {rank} of the {branch} branch does not fit a linear layer "
                f"{base.in_features}->{base.out_features}: it must lie between 1 and {limit}."
            )
    if rank_parallel == rank_sequential == 0:
        raise UserError("both ranks are 0: a low-rank adapter needs at least one branch.")
