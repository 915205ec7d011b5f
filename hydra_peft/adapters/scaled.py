"""Linear layers whose outputs or inputs are multiplied by learned factors ((IA)3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hydra_peft.adapters.linear_adapter import LinearAdapter, cast


class ScaledOutput(LinearAdapter):
    """``h = s * (W0 x + b0)``, output by output; every s is 1 at the start.

    Args:
        base: the linear layer; kept as ``self.base``.
        parts: of a layer of packed queries, keys and values those that are scaled, of ``q``, ``k``
            and ``v``; empty for the whole output.

    Shapes: ``[..., in]`` to ``[..., out]``; ``scale`` has a factor for each scaled output, in the
    dtype of ``base.weight``.
    """

    own_dtype = True

    def __init__(self, base: nn.Linear, parts: Sequence[str] = ()) -> None:
        super().__init__()
        self.base, self.parts = base, tuple(parts)
        count = base.out_features // 3 * len(self.parts) if parts else base.out_features
        self.scale = nn.Parameter(base.weight.new_ones(count))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[..., in_features]`` to ``[..., out_features]``."""
        out: Tensor = self.base(x)
        return (out * self.factors(self.scale)).to(out.dtype)

    def folded(self, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
        """Return ``diag(s) W0`` and ``s b0``."""
        factors = self.factors(cast(self.scale, dtype))
        bias = cast(self.base.bias, dtype)
        return cast(self.base.weight, dtype) * factors[:, None], None if bias is None else (
            factors * bias
        )

    def factors(self, scale: Tensor) -> Tensor:
        """Return a factor for each output, 1 for those of parts that are not scaled."""
        if not self.parts:
            return scale
        rows = self.base.out_features // 3
        own = {part: scale[n * rows : (n + 1) * rows] for n, part in enumerate(self.parts)}
        plain = torch.ones_like(scale[:rows])
        return torch.cat([own.get(part, plain) for part in "qkv"])


class ScaledInput(LinearAdapter):
    """``h = W0 (s * x) + b0``, input by input; every s is 1 at the start.

    Shapes: ``[..., in]`` to ``[..., out]``; ``scale`` is ``[in]``, in the dtype of ``base.weight``.
    """

    own_dtype = True

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base = base
        self.scale = nn.Parameter(base.weight.new_ones(base.in_features))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[..., in_features]`` to ``[..., out_features]``."""
        out: Tensor = self.base((x * self.scale).to(x.dtype))
        return out

    def folded(self, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
        """Return ``W0 diag(s)`` and the frozen bias."""
        weight = cast(self.base.weight, dtype)
        return weight * cast(self.scale, dtype), cast(self.base.bias, dtype)
