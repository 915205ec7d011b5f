"""One differentiable operation: a frozen linear layer over the rows of several runs, each with a
low-rank update of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


def packed_low_rank_linear(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    down: Tensor,
    shift: Tensor,
    up: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    counts: Sequence[int],
) -> Tensor:
    r"""Return, for the rows x of run k, ``x W^T + b + (m * (x D_k^T + d_k)) U_k^T + u_k``.

    The frozen product is one over all rows. With equal ``counts`` the updates of all runs are two
    batched products, else two products a run. As in
    :func:`~hydra_peft.adapters.low_rank_update.low_rank_linear` the update comes first and the
    frozen product is accumulated onto it, so that both are rounded together.

    Args:
        x: rows of all runs one behind the other, ``[n, in]``; all arguments have its device and,
            but for ``bias``, its dtype.
        weight: W, frozen, ``[out, in]``.
        bias: b, frozen, ``[out]``, of the same or a wider dtype, or None.
        down: D, ``[runs, rank, in]``; runs of a lower rank have rows of zeros.
        shift: d, ``[runs, rank]``.
        up: U, ``[runs, out, rank]``, scale included; those of a lower rank have columns of zeros.
        offset: u, ``[runs, out]``.
        mask: m, what dropout multiplies the codes with, ``[n, rank]``, or None.
        counts: rows of each run; their sum is n.

    Returns:
        ``[n, out]``.
    """
    out: Tensor = _Packed.apply(x, weight, bias, down, shift, up, offset, mask, tuple(counts))
    return out


def stacked(parts: Sequence[Tensor], width: int, dim: int) -> Tensor:
    """Return ``parts``, which differ in dimension ``dim`` alone (negative), as one tensor.

    Shorter ones are filled up with zeros to ``width``.
    """
    padded = []
    for part in parts:
        missing = width - part.shape[dim]
        sides = [0, 0] * (-dim - 1) + [0, missing]
        padded.append(functional.pad(part, sides) if missing else part)
    return torch.stack(padded)


def _products(rows: Tensor, factors: Tensor, counts: tuple[int, ...]) -> Tensor:
    """Return ``rows_k @ factors_k`` of all runs: ``[n, p]`` and ``[runs, p, q]`` to ``[n, q]``."""
    if len(set(counts)) == 1:
        return torch.bmm(rows.view(len(counts), -1, rows.shape[1]), factors).flatten(0, 1)
    parts = zip(rows.split(counts), factors, strict=True)
    return torch.cat([part @ factor for part, factor in parts])


def _gradients(left: Tensor, right: Tensor, counts: tuple[int, ...]) -> Tensor:
    """Return ``left_k^T @ right_k``: ``[n, p]`` and ``[n, q]`` to ``[runs, p, q]``."""
    if len(set(counts)) == 1:
        runs = len(counts)
        return torch.bmm(
            left.view(runs, -1, left.shape[1]).transpose(1, 2),
            right.view(runs, -1, right.shape[1]),
        )
    parts = zip(left.split(counts), right.split(counts), strict=True)
    return torch.stack([one.t() @ other for one, other in parts])


def _sums(rows: Tensor, counts: tuple[int, ...]) -> Tensor:
    """Return the sum of each run's rows: ``[n, p]`` to ``[runs, p]``."""
    return torch.stack([part.sum(0) for part in rows.split(counts)])


def _add_to_each(rows: Tensor, values: Tensor, counts: tuple[int, ...]) -> Tensor:
    """Add ``values_k``, ``[runs, p]``, to each row of run k, in place."""
    for part, value in zip(rows.split(counts), values, strict=True):
        part.add_(value)
    return rows


class _Packed(torch.autograd.Function):
    """The operation; backward keeps ``x`` and the codes ``m * (x D^T + d)``."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        down: Tensor,
        shift: Tensor,
        up: Tensor,
        offset: Tensor,
        mask: Tensor | None,
        counts: tuple[int, ...],
    ) -> Tensor:
        code = _add_to_each(_products(x, down.transpose(1, 2), counts), shift, counts)
        if mask is not None:
            code = code * mask
        if x.dtype in (torch.float32, torch.float64) and bias is not None:
            offset, bias = offset + bias, None
        out = _add_to_each(_products(code, up.transpose(1, 2), counts), offset, counts)
        out.addmm_(x, weight.t())
        if bias is not None:
            # In half precision it would, being far larger, swallow a small update above.
            out.add_(bias)
        ctx.save_for_backward(x, weight, down, up, mask, code)
        ctx.counts = counts
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        x, weight, down, up, mask, code = ctx.saved_tensors
        counts, grad = ctx.counts, grads[0].contiguous()
        # Called inside autocast, backward still computes in the dtype that forward did.
        with torch.autocast(x.device.type, enabled=False):
            before = _products(grad, up, counts)
            if mask is not None:
                before = before * mask
            grad_x = None
            if ctx.needs_input_grad[0]:
                grad_x = _products(before, down, counts).addmm_(grad, weight)
            return (
                grad_x,
                None,
                None,
                _gradients(before, x, counts),
                _sums(before, counts),
                _gradients(code, grad, counts).transpose(1, 2),
                _sums(grad, counts),
                None,
                None,
            )
