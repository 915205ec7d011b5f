"""The low-rank adapted linear layer: a frozen layer with a parallel and a sequential branch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.jit._trace import is_tracing
from torch.nn import functional

from hydra_peft.adapters.initializers import PISSA
from hydra_peft.adapters.linear_adapter import LinearAdapter, cast
from hydra_peft.adapters.low_rank_branch import LowRankBranch, joined
from hydra_peft.adapters.low_rank_update import low_rank_linear
from hydra_peft.adapters.packed_qkv import starts_of
from hydra_peft.adapters.parted_branch import PartedBranch
from hydra_peft.adapters.principal_branch import PrincipalBranch
from hydra_peft.adapters.surgery import is_intercepted
from hydra_peft.adapters.targets import check_layer
from hydra_peft.errors import UserError
from hydra_peft.finite import is_finite
from hydra_peft.plain_text import quoted


class LowRankLinear(LinearAdapter):
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
        dropout: dropout probability in both branches.
        bias: whether the branches have biases; needs a ``base`` with a bias to merge into.
        init: initialiser of the down-projections, see :mod:`hydra_peft.adapters.initializers`; or,
            where there is no sequential branch, ``pissa``: see
            :class:`~hydra_peft.adapters.principal_branch.PrincipalBranch`.
        zero_up: whether the up-projections start at zero, or are drawn likewise.
        dropout_at: what dropout acts on: ``rank``, the rank-r features, or ``input``, what the
            down-projections read (microsoft/LoRA, peft), computed branch by branch.
        parts: of a layer that computes queries, keys and values together those that the parallel
            branch writes, each with projections of its own: some of ``q``, ``k``, ``v``. Empty for
            all of the layer by one branch.

    Shapes: ``[..., in_features]`` to ``[..., out_features]``. Branch parameters take the dtype and
    the device of ``base.weight``.

    Attributes:
        fused: whether forward computes both branches as one low-rank update, see :meth:`update`,
            or branch by branch as in the paper, the slower form that it is checked against.
            A ``base`` whose class has a forward of its own starts with False, and so does a
            subclass with a ``three_branches`` of its own. Fused, neither ``base`` nor a branch is
            called as a module, so forward takes the slower form by itself where that shows: hooks
            on one of them, ``torch.jit.trace``, ``torch.fx``, forward-mode differentiation
            (``torch.func.jvp``), sparse and nested inputs.

    Raises:
        UserError: ``base`` is no linear layer, or quantised or lazy; no branch, a rank that is
            no whole number or does not fit, a scale that is not finite, a dropout outside [0, 1),
            branch biases on a layer without bias, or a sequential branch with ``pissa`` or parts.
    """

    own_dtype = True

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
        zero_up: bool = True,
        dropout_at: str = "rank",
        parts: Sequence[str] = (),
    ) -> None:
        super().__init__()
        check_layer(base)
        check_ranks(base, rank_parallel, rank_sequential, parts)
        if not is_finite(scale):
            raise UserError(f"scale={quoted(scale)} is not a finite number.")
        if not is_finite(dropout) or not 0.0 <= dropout < 1.0:
            raise UserError(f"dropout={dropout} is not a probability: it must lie in [0, 1).")
        if bias and base.bias is None:
            raise UserError(
                "branch biases cannot be merged into a linear layer without bias: set bias=False."
            )
        if rank_sequential and (parts or init == PISSA):
            raise UserError(
                f"a sequential branch has no parts={quoted(list(parts))} and no "
                f"init={quoted(init)}."
            )
        if dropout_at not in ("rank", "input"):
            raise UserError(f"dropout_at={quoted(dropout_at)} is neither 'rank' nor 'input'.")
        options: dict[str, Any] = {"dropout": dropout, "dropout_at": dropout_at, "bias": bias}
        options["zero_up"] = zero_up
        self.base = base.requires_grad_(False)
        self.parallel: LowRankBranch | PartedBranch | None = None
        self.sequential: LowRankBranch | None = None
        if rank_parallel:
            self.parallel = _parallel(
                base.weight, rank_parallel, parts, init=init, scale=scale, **options
            )
        if rank_sequential:
            width = base.out_features
            like: dict[str, Any] = {"device": base.weight.device, "dtype": base.weight.dtype}
            self.sequential = LowRankBranch(
                width, width, rank_sequential, init=init, **like, **options
            )
        self.scale = scale
        self.dropout_at = dropout_at
        as_written = type(self).three_branches is LowRankLinear.three_branches
        self.fused = self.base_is_plain() and as_written
        self.train(base.training)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[..., in_features]`` to ``[..., out_features]``.

        Under autocast the result has autocast's dtype, as that of ``nn.Linear``.
        """
        # What nn.Linear refuses is refused there, by torch and in its words.
        if not self.fuses(x):
            return self.three_branches(x)
        dtype = compute_dtype(x)
        # What is of a weight's size is computed in the weight's dtype, whatever x is in.
        with torch.autocast(x.device.type, enabled=False):
            if self._may_fold(dtype):
                return functional.linear(x, *self.folded(dtype))
            weight, mask = cast(self.base.weight, dtype), cast(self.mask(x), dtype)
            down, shift, up, offset = (cast(part, dtype) for part in self.update())
            return low_rank_linear(
                x.to(dtype), weight, self.base.bias, down, shift, up, offset, mask
            )

    def three_branches(self, x: Tensor) -> Tensor:
        """Compute the same branch by branch (paper eq. 10), in the dtype of the frozen layer's."""
        features = self.base(x)
        out = features
        if self.parallel is not None:
            out = out + self.scale * self.parallel(x)
        if self.sequential is not None:
            out = out + self.scale * self.sequential(features)
        return out.to(features.dtype)

    def update(
        self, dtype: torch.dtype | None = None
    ) -> tuple[Tensor, Tensor | None, Tensor, Tensor | None]:
        """Return down, shift, up and offset of ``h = f + up (down x + shift) + offset``.

        This is eq. 10, since the frozen layer's output f is a linear function of x: down is
        ``[A_down; B_down W_0]``, shift ``[a_d; B_down b_0 + b_d]`` and offset ``s (a_u + b_u)``
        with the branches' biases, up ``s [A_up, B_up]``. The rank is the sum of both. Shapes
        ``[rank, in]``, ``[rank]``, ``[out, rank]``, ``[out]``; None for a bias that is absent.

        Args:
            dtype: what to compute in; None is the parameters' own.
        """
        dtype = dtype or self.base.weight.dtype
        weight, bias = cast(self.base.weight, dtype), cast(self.base.bias, dtype)
        downs, shifts, ups, offset = [], [], [], None
        # Not told by identity: torch.export gives a proxy for each time that one is asked for.
        for branch, is_sequential in ((self.parallel, False), (self.sequential, True)):
            if branch is None:
                continue
            down, shift, up, own = branch.factors(dtype)
            if is_sequential:
                # Without biases of its own it still passes on the frozen layer's.
                shift = shift if bias is None else functional.linear(bias, down, shift)
                down = down @ weight
            if shift is None and bias is not None:
                shift = down.new_zeros(len(down))
            downs.append(down)
            shifts.append(shift)
            ups.append(self.scale * up)
            if own is not None:
                own = self.scale * own
                offset = own if offset is None else offset + own
        return torch.cat(downs), joined(shifts), torch.cat(ups, dim=1), offset

    def fuses(self, x: Tensor) -> bool:
        """Whether forward computes both branches on ``x`` as one low-rank update."""
        if not self.fused or self._is_watched() or not self._takes(x):
            return False
        return self.dropout_at != "input" or not self.drops()

    def _may_fold(self, dtype: torch.dtype) -> bool:
        """Whether one product with the folded weight is as good: nothing to learn or to round away.

        In half precision, and in the ten bits of TF32, W0 + sU D would lose small updates.
        """
        if torch.is_grad_enabled() or self.drops():
            return False
        return dtype == torch.float64 or (dtype == torch.float32 and _float32_is_exact())

    def _takes(self, x: Tensor) -> bool:
        """Whether the fused operation does: ``x`` is an ordinary tensor with storage and of the
        layer's width, and autocast, or no cast at all, gives it and the weights one dtype."""
        # Autocast does not know tensors without storage, on which models are checked before a run.
        # torch.fx calls with what is no tensor, and functionalize takes no autograd function.
        if not isinstance(x, Tensor) or x.is_meta or x.is_nested or x.layout != torch.strided:
            return False
        if not torch.compiler.is_compiling() and torch._is_functional_tensor(x):
            return False
        if x.ndim == 0 or x.shape[-1] != self.base.in_features:
            return False
        if x.dtype == self.base.weight.dtype:
            return True
        casts = torch.is_autocast_enabled(x.device.type) and x.dtype != torch.float64
        return casts and x.is_floating_point()

    def _is_watched(self) -> bool:
        """Whether someone looks on for the modules and plain operations that forward consists of:
        hooks, torch's tracer, forward-mode differentiation."""
        if is_tracing() or forward_ad._current_level >= 0:
            return True
        return any(is_intercepted(part) for part in self.modules() if part is not self)

    def drops(self) -> bool:
        """Whether dropout acts in the current mode."""
        return self.training and any(branch.drops() for branch in self._branches())

    def _branches(self) -> list[LowRankBranch | PartedBranch]:
        return [b for b in (self.parallel, self.sequential) if b is not None]

    def mask(self, x: Tensor) -> Tensor | None:
        """Draw what dropout multiplies the update's code with, ``[..., rank]``; None of none."""
        if not self.drops():
            return None
        return torch.cat([branch.mask(x) for branch in self._branches()], dim=-1)

    def folded(self, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
        """Return W0 + s (A + B W0) and b0 + s (a + B b0 + b), a and b the branches' constant terms.

        Paper eqs. 4, 8 and 12, extended by scale and branch biases.
        """
        down, shift, up, offset = self.update(dtype)
        weight = torch.addmm(cast(self.base.weight, dtype), up, down)
        bias = cast(self.base.bias, dtype)
        if bias is not None and shift is not None:
            bias = torch.addmv(bias, up, shift)
        return weight, bias if offset is None else bias + offset

    def extra_repr(self) -> str:
        """One line for ``print(model)``."""
        return f"scale={self.scale}"


# The compiler cannot trace the question; it recompiles by itself where the answer changes.
@torch.compiler.assume_constant_result
def _float32_is_exact() -> bool:
    """Whether products in float32 are; lower settings allow TF32, on a CPU bfloat16."""
    return torch.get_float32_matmul_precision() == "highest"


def compute_dtype(x: Tensor) -> torch.dtype:
    """Return the dtype that a product of ``x`` with a weight has, under autocast or not."""
    kind = x.device.type
    # As torch's own products: autocast leaves float64 alone.
    if torch.is_autocast_enabled(kind) and x.dtype != torch.float64:
        return torch.get_autocast_dtype(kind)
    return x.dtype


def _parallel(
    weight: Tensor, rank: int, parts: Sequence[str], *, init: str, scale: float, **options: Any
) -> LowRankBranch | PartedBranch:
    """Return the branch beside a layer with ``weight``, or one for each of its ``parts``."""

    def branch(rows: Tensor) -> LowRankBranch:
        if init == PISSA:
            return PrincipalBranch(rows, rank, scale=scale, **options)
        width_out, width_in = rows.shape
        like: dict[str, Any] = {"device": rows.device, "dtype": rows.dtype}
        return LowRankBranch(width_in, width_out, rank, init=init, **like, **options)

    if not parts:
        return branch(weight)
    starts, width = starts_of(len(weight), parts), len(weight) // 3
    branches = {part: branch(weight[start : start + width]) for part, start in starts.items()}
    return PartedBranch(branches, starts, len(weight))


def check_ranks(
    base: nn.Linear, rank_parallel: int, rank_sequential: int, parts: Sequence[str] = ()
) -> None:
    """Check both ranks against a layer: at least one branch, none above the layer's own rank.

    Args:
        base: the layer.
        rank_parallel, rank_sequential: 0 for no such branch.
        parts: where the parallel branch writes thirds of the layer, which.

    Raises:
        UserError: the ranks do not fit; the message names the limits.
    """
    written = base.out_features // 3 if parts else base.out_features
    if parts and base.out_features % 3:
        raise UserError(
            f"a linear layer {base.in_features}->{base.out_features} does not compute queries, "
            f"keys and values together, so it has no parts={quoted(list(parts))}."
        )
    limits = {
        "parallel": (rank_parallel, min(base.in_features, written)),
        "sequential": (rank_sequential, base.out_features),
    }
    for branch, (rank, limit) in limits.items():
        if type(rank) is not int or rank < 0 or rank > limit:
            raise UserError(
                f"rank {quoted(rank)} of the {branch} branch does not fit a linear layer "
                f"{base.in_features}->{base.out_features}: it must lie between 1 and {limit}."
            )
    if rank_parallel == rank_sequential == 0:
        raise UserError("both ranks are 0: a low-rank adapter needs at least one branch.")
