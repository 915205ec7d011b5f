"""FacT's layer: an update whose outer factors all layers share."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from hydra_peft.adapters.linear_adapter import LinearAdapter, cast


class FactLinear(LinearAdapter):
    r"""A frozen linear layer with an update :math:`s V \Sigma U` in blocks of one width d.

    .. math:: h = W_0 x + b_0 + s\,(I_m \otimes V)\,\Sigma\,(I_k \otimes U)\,x

    U ``[r, d]`` and V ``[d, r]`` are those of all layers, V zero at the start; :math:`\Sigma`,
    ``[m r, k r]``, is of this layer, which reads k and writes m chunks of d features (Jie and Deng,
    arXiv 2212.03145; release JieShibo/PETL-ViT). Dropout acts behind the core, as there.

    Args:
        base: the layer to adapt, ``[m d, k d]``; kept as ``self.base`` and frozen.
        inner: U, shared.
        outer: V, shared.
        core: the module that gives the core of this layer.
        scale: factor s.
        dropout: dropout probability between core and V.

    Shapes: ``[..., k d]`` to ``[..., m d]``.
    """

    def __init__(
        self,
        base: nn.Linear,
        inner: nn.Parameter,
        outer: nn.Parameter,
        core: nn.Module,
        *,
        scale: float = 1.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.inner, self.outer, self.core = inner, outer, core
        self.scale = scale
        self.dropout = nn.Dropout(dropout)
        self.train(base.training)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[..., in_features]`` to ``[..., out_features]``."""
        out: Tensor = self.base(x)
        rank, width = self.inner.shape
        chunks = functional.linear(x.unflatten(-1, (-1, width)), self.inner)
        code = self.dropout(functional.linear(chunks.flatten(-2), self.core(self.inner.dtype)))
        update = functional.linear(code.unflatten(-1, (-1, rank)), self.outer)
        return out + self.scale * update.flatten(-2)

    def folded(self, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
        """Return the weight with its update, and the frozen bias."""
        rank = len(self.inner)
        inner, outer = cast(self.inner, dtype), cast(self.outer, dtype)
        core = self.core(dtype).unflatten(0, (-1, rank)).unflatten(-1, (-1, rank))
        update = torch.einsum("or,mrks,si->moki", outer, core, inner)
        weight = cast(self.base.weight, dtype) + self.scale * update.reshape(self.base.weight.shape)
        return weight, cast(self.base.bias, dtype)

    def drops(self) -> bool:
        """Whether dropout behind the core acts in the current mode."""
        return self.training and self.dropout.p > 0

    def extra_repr(self) -> str:
        """One line for ``print(model)``."""
        return f"rank={len(self.inner)}, scale={self.scale}"


class OwnCore(nn.Module):
    """The core of one layer in the tensor-train form: a parameter of its own, ``[m r, k r]``.

    It starts as the weight of an ``nn.Linear``, as in the release.
    """

    def __init__(self, like: Tensor, rows: int, columns: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(like.new_empty(rows, columns))
        bound = columns**-0.5  # kaiming uniform with a = sqrt(5)
        nn.init.uniform_(self.weight, -bound, bound)

    def forward(self, dtype: torch.dtype) -> Tensor:
        """Return the core in ``dtype``."""
        return self.weight.to(dtype)


class TuckerCore(nn.Module):
    r"""The core of one layer in the Tucker form: slices of :math:`T = C \times_3 P`.

    C ``[r, r, r]`` and P ``[r, slices]`` are shared by all layers. In the release, whose layout
    this is, slices are transposed but for a layer that reads several chunks; the c chunks of one
    matrix are r x r x c numbers reshaped to r x c r row by row, so that slices lie interleaved in
    it; queries, keys and values have slices of their own.

    Args:
        cube: C.
        mixing: P.
        first: the first slice of this layer.
        written: number m of chunks that it writes.
        read: number k of chunks that it reads, 1 where m is above 1.
        packed: whether the chunks are queries, keys and values.
    """

    def __init__(
        self,
        cube: nn.Parameter,
        mixing: nn.Parameter,
        *,
        first: int,
        written: int,
        read: int,
        packed: bool,
    ) -> None:
        super().__init__()
        self.cube, self.mixing = cube, mixing
        self.first, self.written, self.read, self.packed = first, written, read, packed

    def forward(self, dtype: torch.dtype) -> Tensor:
        """Return the core, ``[m r, k r]``, computed in ``dtype``."""
        last = self.first + self.written * self.read
        slices = self.cube.to(dtype) @ self.mixing[:, self.first : last].to(dtype)  # [r, r, chunks]
        if self.packed:
            return slices.permute(2, 1, 0).flatten(0, 1)
        flat = slices.flatten(1)  # column c is that of slice c % chunks
        return flat if self.read > 1 else flat.t()


def shared_factors(rank: int, width: int, like: Tensor) -> tuple[nn.Parameter, nn.Parameter]:
    """Return U ``[rank, width]``, drawn as the weight of an ``nn.Linear``, and V, zeros."""
    inner = nn.Parameter(like.new_empty(rank, width))
    nn.init.uniform_(inner, -(width**-0.5), width**-0.5)  # kaiming uniform with a = sqrt(5)
    return inner, nn.Parameter(like.new_zeros(width, rank))


def tucker_factors(rank: int, slices: int, like: Tensor) -> tuple[nn.Parameter, nn.Parameter]:
    """Return C ``[rank, rank, rank]`` and P ``[rank, slices]``, xavier uniform as released."""
    cube = nn.Parameter(nn.init.xavier_uniform_(like.new_empty(rank, rank, rank)))
    return cube, nn.Parameter(nn.init.xavier_uniform_(like.new_empty(rank, slices)))
