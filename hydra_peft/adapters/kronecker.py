"""KAdaptation's layer: an update that is a sum of Kronecker products of low rank."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from hydra_peft.adapters.linear_adapter import LinearAdapter, cast

#: the rules start uniform within this (eric-ai-lab/PEViT)
RULE_BOUND = 0.01


def kronecker_rule(terms: int, like: Tensor) -> dict[str, nn.Parameter]:
    """Return the factors p and q, "left" and "right", of n first factors; see KroneckerUpdate.

    Args:
        terms: n; each factor is ``[n, n]``.
        like: a tensor of the dtype and on the device of the parameters.
    """
    return {
        name: nn.Parameter(nn.init.uniform_(like.new_empty(terms, terms), -RULE_BOUND, RULE_BOUND))
        for name in ("left", "right")
    }


class KroneckerUpdate(nn.Module):
    r"""The update :math:`H = \sum_{i=1}^n S_i \otimes u_i v_i^T`, ``[in, out]``, of rank n at most.

    With :math:`S_i = p_i q_i^T` each term is of rank 1, so ``H = L^T R`` with rows
    :math:`p_i \otimes u_i` of L and :math:`q_i \otimes v_i` of R. Rows u start glorot uniform with
    gain sqrt(2), v at zero. (In the release, eric-ai-lab/PEViT, both start at zero and the update
    never gets a gradient.)

    Args:
        rule: the first factors, of :func:`kronecker_rule`, which updates may share.
        in_features, out_features: widths, multiples of n.
    """

    def __init__(
        self, rule: Mapping[str, nn.Parameter], in_features: int, out_features: int
    ) -> None:
        super().__init__()
        terms = len(rule["left"])
        # a holder of its own: functional_call restores shared parameters, not shared modules
        self.rule = nn.ParameterDict(rule)
        self.left = nn.Parameter(rule["left"].new_empty(terms, in_features // terms))
        self.right = nn.Parameter(rule["right"].new_zeros(terms, out_features // terms))
        # fan in 1, fan out the length of u
        bound = 2**0.5 * (6 / (1 + self.left.shape[1])) ** 0.5
        nn.init.uniform_(self.left, -bound, bound)

    def forward(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Return L ``[n, in]`` and R ``[n, out]`` in ``dtype``."""
        rule, own = (self.rule["left"], self.rule["right"]), (self.left, self.right)
        left, right = (
            (first.to(dtype)[:, :, None] * second.to(dtype)[:, None]).flatten(1)
            for first, second in zip(rule, own, strict=True)
        )
        return left, right


class KroneckerLinear(LinearAdapter):
    r"""A frozen linear layer with Kronecker updates of some of its rows.

    .. math:: h = W_0 x + b_0 + s H^T x + b \quad \text{in the rows of each part}

    (He et al., arXiv 2203.16329). Dropout acts on the elements of H, as in the release
    (eric-ai-lab/PEViT): while it does, H is formed, and its product costs what the layer's own rows
    do. The bias b, which has no scale, may be shared with other layers.

    Args:
        base: the layer to adapt; kept as ``self.base`` and frozen.
        updates: by the name of their part.
        starts: the first row of each part.
        bias: b, for each part the same, or None.
        scale: factor s.
        dropout: dropout probability on the elements of H.

    Shapes: ``[..., in_features]`` to ``[..., out_features]``.
    """

    own_dtype = True

    def __init__(
        self,
        base: nn.Linear,
        updates: Mapping[str, KroneckerUpdate],
        starts: Mapping[str, int],
        bias: nn.Parameter | None,
        *,
        scale: float = 1.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.updates = nn.ModuleDict(dict(updates))
        self.starts = dict(starts)
        self.shift = bias
        self.scale = scale
        self.dropout = nn.Dropout(dropout)
        self.train(base.training)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[..., in_features]`` to ``[..., out_features]``."""
        out: Tensor = self.base(x)
        for name, update in self.updates.items():
            left, right = update(self.base.weight.dtype)
            if self.drops():
                part = functional.linear(x, self.dropout(right.t() @ left))
            else:
                part = functional.linear(functional.linear(x, left), right.t())
            part = self.scale * part
            part = part if self.shift is None else part + self.shift.to(part.dtype)
            out = out + self._placed(name, part)
        return out

    def folded(self, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
        """Return weight and bias with what is added to the rows of each part."""
        weight, bias = cast(self.base.weight, dtype), cast(self.base.bias, dtype)
        for name, update in self.updates.items():
            left, right = update(dtype)
            weight = weight + self.scale * self._placed(name, left.t() @ right).t()
            if self.shift is not None:
                bias = bias + self._placed(name, cast(self.shift, dtype))
        return weight, bias

    def drops(self) -> bool:
        """Whether dropout on the elements of H acts in the current mode."""
        return self.training and self.dropout.p > 0

    def _placed(self, name: str, part: Tensor) -> Tensor:
        """Return ``part``, ``[..., rows of it]``, with zeros around it: ``[..., out_features]``."""
        start = self.starts[name]
        return functional.pad(part, (start, self.out_features - start - part.shape[-1]))

    def extra_repr(self) -> str:
        """One line for ``print(model)``."""
        return f"scale={self.scale}"
