"""One differentiable operation: a frozen linear layer plus a low-rank update of its weight."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx
from torch.utils._python_dispatch import is_in_torch_dispatch_mode


def low_rank_linear(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    down: Tensor,
    shift: Tensor | None,
    up: Tensor,
    offset: Tensor | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    r"""Return ``x W^T + b + (m * (x D^T + d)) U^T + u``; backward keeps only ``x`` and the code.

    The code is the rank-r intermediate ``m * (x D^T + d)``. The update is computed first and the
    frozen product is accumulated onto it, so that both are rounded together, once: in bfloat16 an
    update far below one unit in the last place of the output is not lost, as it is where two
    rounded outputs are added.

    LoRA, SeqLoRA and Hydra have this form (reference: arXiv 2309.06922, eqs. 4, 8 and 12): their
    down-projections stacked in ``down``, that of a sequential branch multiplied by the frozen
    weight.

    Args:
        x: input, ``[..., in]``; all arguments have its device and, but for ``bias``, its dtype.
        weight: W, ``[out, in]``; its gradient is computed only if it is asked for.
        bias: b, ``[out]``, of the same or a wider dtype, or None.
        down: D, ``[rank, in]``.
        shift: d, ``[rank]``, or None.
        up: U, ``[out, rank]``, scale included.
        offset: u, the update's own bias, ``[out]``, or None.
        mask: m, what dropout multiplies the code with, ``[..., rank]``, or None.

    Returns:
        ``[..., out]``.
    """
    rows = x.reshape(-1, x.shape[-1])
    masks = None if mask is None else mask.reshape(-1, mask.shape[-1])
    out, _ = _LowRankLinear.apply(rows, weight, bias, down, shift, up, offset, masks)
    return out.view(*x.shape[:-1], weight.shape[0])


def _may_write_over() -> bool:
    """Whether a tensor that was just computed may be changed in place, which saves a copy of it.

    torch 2.11 compiles a function that returns what it has changed in place without its gradients:
    they are silently zero. Modes that see each operation keep what one computed (selective
    checkpointing), or count no product that is in place (FlopCounterMode), and vmap does such a
    product row by row.
    """
    return not (
        torch.compiler.is_compiling()
        or is_in_torch_dispatch_mode()
        or torch._C._are_functorch_transforms_active()
    )


def _accumulated(out: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """Return ``out + x W``, over ``out`` where that may be."""
    return out.addmm_(x, weight) if _may_write_over() else torch.addmm(out, x, weight)


def _added(out: Tensor, bias: Tensor) -> Tensor:
    """Return ``out + bias`` in the dtype of ``out``, over it where that may be."""
    return out.add_(bias) if _may_write_over() else (out + bias).to(out.dtype)


class _LowRankLinear(torch.autograd.Function):
    """The operation on rows: ``x`` is ``[n, in]``, ``mask`` ``[n, rank]``.

    The code is an output, because backward uses it: only so are second derivatives right.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        down: Tensor,
        shift: Tensor | None,
        up: Tensor,
        offset: Tensor | None,
        mask: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        code = x @ down.t() if shift is None else torch.addmm(shift, x, down.t())
        if mask is not None:
            code = code * mask
        if x.dtype in (torch.float32, torch.float64) and bias is not None:
            offset, bias = bias if offset is None else bias + offset, None
        out = code @ up.t() if offset is None else torch.addmm(offset, code, up.t())
        out = _accumulated(out, x, weight.t())
        if bias is not None:
            # In half precision it would, being far larger, swallow a small update above.
            out = _added(out, bias)
        return out, code

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple[Any, ...], output: tuple[Any, ...]) -> None:
        x, weight, _, down, _, up, _, mask = inputs
        ctx.save_for_backward(x, weight, down, up, mask, output[1])
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, grad_code: Tensor | None) -> tuple[Any, ...]:
        x, weight, down, up, mask, code = ctx.saved_tensors
        needs_x, needs_weight, needs_bias, needs_down, needs_shift, needs_up, needs_offset, _ = (
            ctx.needs_input_grad
        )
        if grad is None:  # only the code was used, which no caller here does
            grad = x.new_zeros(len(x), len(weight))
        # Called inside autocast, backward still computes in the dtype that forward did.
        with torch.autocast(x.device.type, enabled=False):
            before = grad @ up
            if grad_code is not None:
                before = before + grad_code
            if mask is not None:
                before = before * mask
            grad_offset = grad.sum(0) if needs_bias or needs_offset else None
            grad_x = _accumulated(before @ down, grad, weight) if needs_x else None
            return (
                grad_x,
                grad.t() @ x if needs_weight else None,
                grad_offset if needs_bias else None,
                before.t() @ x if needs_down else None,
                before.sum(0) if needs_shift else None,
                (code.t() @ grad).t() if needs_up else None,
                grad_offset if needs_offset else None,
                None,
            )
