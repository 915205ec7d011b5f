"""(IA)3: learned factors of keys, values and hidden features (Liu et al., arXiv 2205.05638)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from hydra_peft.adapters.patterns import matches
from hydra_peft.errors import UserError
from hydra_peft.methods._linear import LinearMethod
from hydra_peft.methods._packed import check_parts, in_order

if TYPE_CHECKING:
    from torch import nn

    from hydra_peft.adapters.base import Adapter


@dataclass(frozen=True)
class Ia3(LinearMethod):
    r"""(IA)3, 55,296 parameters on ViT-B/16.

    .. math:: \mathrm{softmax}\bigl(q (l_k \circ k)^T / \sqrt{d}\bigr) (l_v \circ v),
              \qquad (l_{ff} \circ \sigma(W_1 x)) W_2

    Factors start at 1, so that training starts at the frozen backbone; weight decay pulls them
    towards 0. Merging is exact.

    Attributes:
        targets: name patterns of the layers whose outputs are scaled, or, of those that
            ``feedforward`` names too, whose inputs are.
        feedforward: name patterns of those, the second layers of MLPs.
        parts: of layers that compute queries, keys and values together what is scaled, of ``q``,
            ``k`` and ``v``; empty for the whole output. Of other layers it always is the whole.
    """

    name: ClassVar[str] = "ia3"
    targets: list[str] = field(default_factory=lambda: ["attn.qkv", "mlp.fc2"])
    feedforward: list[str] = field(default_factory=lambda: ["mlp.fc2"])
    parts: list[str] = field(default_factory=lambda: ["k", "v"])

    def __post_init__(self) -> None:
        super().__post_init__()
        check_parts(self.parts)

    def apply(self, model: nn.Module, head: tuple[str, ...]) -> list[str]:
        """Put a scaled layer in the place of every target; return the names of the layers."""
        from hydra_peft.adapters.packed_qkv import check_all_packed
        from hydra_peft.adapters.targets import find_linear_layers

        layers = list(find_linear_layers(model, self.targets, exclude=head))
        for pattern in self.feedforward:
            if not any(matches(name, pattern) for name in layers):
                raise UserError(
                    f"feedforward: '{pattern}' matches no layer that targets={self.targets} names: "
                    "set feedforward to those of them that are second layers of MLPs, whose inputs "
                    "are scaled, or to [] to scale the outputs of all."
                )
        if packed := [name for name in layers if self._parts_of(name)]:
            check_all_packed(model, packed, head)
        return super().apply(model, head)

    def adapters(self, layers: Mapping[str, nn.Linear]) -> dict[str, Adapter]:
        """Return a scaled layer around each layer."""
        from hydra_peft.adapters.scaled import ScaledInput, ScaledOutput

        return {
            name: ScaledInput(layer)
            if self._is_feedforward(name)
            else ScaledOutput(layer, self._parts_of(name))
            for name, layer in layers.items()
        }

    def _is_feedforward(self, name: str) -> bool:
        return any(matches(name, pattern) for pattern in self.feedforward)

    def _parts_of(self, name: str) -> list[str]:
        """Return the parts that are scaled of the layer called ``name``; none for the whole."""
        from hydra_peft.adapters.packed_qkv import is_packed

        packed = is_packed(name) and not self._is_feedforward(name)
        return in_order(self.parts) if packed else []

    def identity(self) -> dict[str, Any]:
        """Options with each pattern once, in any order, and parts in the order of their rows."""
        feedforward = sorted(set(self.feedforward))
        return {**super().identity(), "feedforward": feedforward, "parts": in_order(self.parts)}


METHOD = Ia3
