"""A learned scale and shift of the output of a frozen layer (SSF)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hydra_peft.adapters.base import Adapter
from hydra_peft.adapters.plain import (
    LINEAR_IN_WEIGHTS,
    channel_axis,
    in_float64,
    with_weights,
)
from hydra_peft.adapters.targets import check_own_forward
from hydra_peft.errors import UserError

#: standard deviation of both at the start (dongzelian/SSF, ``init_ssf_scale_shift``)
STD = 0.02


class ScaleShift(Adapter):
    """``h = gamma * base(x) + beta``, channel by channel.

    Args:
        base: a linear layer, convolution or norm with weights; kept as ``self.base`` and frozen.

    Shapes: as of ``base``; ``gamma`` and ``beta`` are ``[channels]``, in its dtype.

    Raises:
        UserError: ``base`` is another layer, or one without weights.
    """

    def __init__(self, base: nn.Module) -> None:
        super().__init__()
        check_scalable(base)
        self.base = base.requires_grad_(False)
        weight = base.weight
        assert isinstance(weight, Tensor)
        self.gamma = nn.Parameter(weight.new_empty(len(weight)))
        self.beta = nn.Parameter(torch.empty_like(self.gamma))
        nn.init.normal_(self.gamma, mean=1.0, std=STD)
        nn.init.normal_(self.beta, std=STD)
        self.train(base.training)

    def forward(self, x: Tensor) -> Tensor:
        """Scale and shift what ``base`` makes of ``x``; the result has the dtype of that."""
        out: Tensor = self.base(x)
        shape = (-1, 1, 1) if channel_axis(self.base) == 1 else (-1,)
        gamma, beta = self.gamma.view(shape), self.beta.view(shape)
        return (out * gamma + beta).to(out.dtype)

    @property
    def weight(self) -> Tensor:
        """The folded weight, for modules that read ``layer.weight`` instead of calling it."""
        return self._folded(self.base.weight, self.base.bias)[0]  # type: ignore[arg-type]

    @property
    def bias(self) -> Tensor:
        """The folded bias, the companion of :attr:`weight`."""
        return self._folded(self.base.weight, self.base.bias)[1]  # type: ignore[arg-type]

    def merged(self) -> nn.Module:
        """Return the layer of ``base``'s class with ``W' = diag(gamma) W`` and ``b' = gamma b +
        beta``.

        Raises:
            NotMergeable: ``base`` has no bias.
        """
        frozen = in_float64(self.base.weight), in_float64(self.base.bias)  # type: ignore[arg-type]
        with torch.no_grad():
            return with_weights(self.base, *self._folded(*frozen)).train(self.training)

    def _folded(self, weight: Tensor | None, bias: Tensor | None) -> tuple[Tensor, Tensor]:
        assert weight is not None
        gamma, beta = self.gamma.to(weight.dtype), self.beta.to(weight.dtype)
        scaled = weight * gamma.view(-1, *(1,) * (weight.dim() - 1))
        return scaled, beta if bias is None else gamma * bias + beta


def check_scalable(layer: nn.Module) -> None:
    """Check that a scale and a shift can be written into the weights of ``layer``.

    Raises:
        UserError: it is no linear layer, convolution or norm, has no weights, or has hooks.
    """
    check_own_forward(layer)
    kind = type(layer).__name__
    if not isinstance(layer, LINEAR_IN_WEIGHTS):
        raise UserError(
            f"a {kind} is scaled and shifted by no weights of its own: linear layers, convolutions "
            "and norms with bias are."
        )
    weight = layer.weight
    if weight is None or not weight.is_floating_point():
        raise UserError(f"a {kind} without floating-point weights cannot be scaled and shifted.")
