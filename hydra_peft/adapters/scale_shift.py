"""A learned scale and shift of the output of a frozen layer (SSF)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hydra_peft.adapters.base import Adapter
from hydra_peft.adapters.plain import SCALABLE, channel_axis, in_float64, scaled_along, with_weights
from hydra_peft.adapters.targets import check_layer, check_weight
from hydra_peft.errors import UserError

#: standard deviation of both at the start (dongzelian/SSF, ``init_ssf_scale_shift``)
STD = 0.02


class ScaleShift(Adapter):
    """``h = gamma * base(x) + beta``, channel by channel.

    Args:
        base: a linear layer, convolution or norm with weights; kept as ``self.base`` and frozen.
        shift: whether there is beta.

    Shapes: as of ``base``; ``gamma`` and ``beta`` are ``[channels]``, in its dtype, of an
    ``nn.LayerNorm`` over several axes as its weight is.

    Raises:
        UserError: ``base`` is another layer, or one without weights.
    """

    own_dtype = True

    def __init__(self, base: nn.Module, *, shift: bool = True) -> None:
        super().__init__()
        check_scalable(base)
        self.base = base.requires_grad_(False)
        weight = base.weight
        assert isinstance(weight, Tensor)
        shape = weight.shape if isinstance(base, nn.LayerNorm) else weight.shape[:1]
        self.axis = channel_axis(base)
        self.gamma = nn.Parameter(weight.new_empty(shape))
        self.beta = nn.Parameter(torch.empty_like(self.gamma)) if shift else None
        nn.init.normal_(self.gamma, mean=1.0, std=STD)
        if self.beta is not None:
            nn.init.normal_(self.beta, std=STD)
        self.train(base.training)

    def forward(self, x: Tensor) -> Tensor:
        """Scale and shift what ``base`` makes of ``x``; the result has the dtype of that."""
        out: Tensor = self.base(x)
        return scaled_along(self.axis, out, self.gamma, self.beta).to(out.dtype)

    @property
    def weight(self) -> Tensor:
        """The folded weight, for modules that read ``layer.weight`` instead of calling it."""
        return self._folded(self.base.weight, self.base.bias)[0]  # type: ignore[arg-type]

    @property
    def bias(self) -> Tensor | None:
        """The folded bias, the companion of :attr:`weight`."""
        return self._folded(self.base.weight, self.base.bias)[1]  # type: ignore[arg-type]

    def merged(self) -> nn.Module:
        """Return the layer of ``base``'s class with ``W' = diag(gamma) W`` and ``b' = gamma b +
        beta``.

        Raises:
            NotMergeable: ``base`` has no bias, or does something behind its weights.
        """
        frozen = in_float64(self.base.weight), in_float64(self.base.bias)  # type: ignore[arg-type]
        with torch.no_grad():
            return with_weights(self.base, *self._folded(*frozen)).train(self.training)

    def _folded(self, weight: Tensor | None, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        assert weight is not None
        gamma = self.gamma.to(weight.dtype)
        parts = [] if bias is None else [gamma * bias]
        parts += [] if self.beta is None else [self.beta.to(weight.dtype)]
        scaled = weight * gamma.view(*gamma.shape, *(1,) * (weight.dim() - gamma.dim()))
        return scaled, sum(parts[1:], parts[0]) if parts else None


def check_scalable(layer: nn.Module) -> None:
    """Check that a scale and a shift can be put behind ``layer``.

    Raises:
        UserError: it is no linear layer, convolution or norm, has no weights, quantised ones, or
            hooks.
    """
    kind = type(layer).__name__
    if not isinstance(layer, SCALABLE):
        raise UserError(
            f"a {kind} is scaled and shifted by no weights of its own: linear layers, convolutions "
            "and norms with bias are."
        )
    if layer.weight is None:
        raise UserError(f"a {kind} without weights cannot be scaled and shifted.")
    if isinstance(layer, nn.Linear):
        check_layer(layer)
    else:
        check_weight(layer, layer.weight)
