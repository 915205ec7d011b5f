"""KAdaptation: sums of Kronecker products on queries and values (He et al., arXiv 2203.16329)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from hydra_peft.errors import UserError
from hydra_peft.limits import Rank, Scale, Share
from hydra_peft.methods._linear import LinearMethod
from hydra_peft.methods._packed import check_parts, in_order

if TYPE_CHECKING:
    from torch import nn

    from hydra_peft.adapters.base import Adapter


@dataclass(frozen=True)
class Kadaptation(LinearMethod):
    r"""KAdaptation; see :class:`hydra_peft.adapters.kronecker.KroneckerLinear`. Merges exactly.

    50,176 parameters on the shapes of ViT-B/16 and CLIP's ViT-B/32. The rules S are shared by the
    layers of one kind (queries, values), the bias by those of one attention.

    The release (eric-ai-lab/PEViT, ``model.py``) starts both low-rank factors at zero, so that its
    updates never get a gradient, and gives the values the queries' factors; here v alone starts at
    zero, and each has factors of its own. It adds to queries that are scaled already, which makes
    their update eight times as large; here both have one scale. Scale (128 / 4 x 5) and dropout
    are the release's.

    Attributes:
        targets: name patterns of the layers to adapt.
        parts: of a packed qkv layer those that are adapted; empty for whole layers, such as the
            separate ones that ``targets: [query, value]`` names.
        phm_dim: number n of Kronecker products, and of rows of their first factors.
        scale: factor of the updates.
        dropout: dropout probability on the elements of the updates.
        bias: whether there is a bias beside them.
    """

    name: ClassVar[str] = "kadaptation"
    targets: list[str] = field(default_factory=lambda: ["attn.qkv"])
    parts: list[str] = field(default_factory=lambda: ["q", "v"])
    phm_dim: Rank = 32
    scale: Scale = 160.0
    dropout: Share = 0.5
    bias: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_parts(self.parts)

    def apply(self, model: nn.Module, head: tuple[str, ...]) -> list[str]:
        """Put a :class:`~hydra_peft.adapters.kronecker.KroneckerLinear` at every target."""
        if self.parts:
            from hydra_peft.adapters.packed_qkv import check_all_packed

            check_all_packed(model, self.targets, head)
        return super().apply(model, head)

    def check_fit(self, layer: nn.Linear) -> None:
        """Check widths and bias of one layer."""
        from hydra_peft.adapters.targets import check_bias

        written = layer.out_features // 3 if self.parts else layer.out_features
        if layer.in_features % self.phm_dim or written % self.phm_dim:
            raise UserError(
                f"its widths {layer.in_features} and {written} are no multiples of "
                f"phm_dim={self.phm_dim}: set phm_dim to a common divisor of them."
            )
        if self.bias:
            check_bias(layer, "that of the update")

    def adapters(self, layers: Mapping[str, nn.Linear]) -> dict[str, Adapter]:
        """Return an adapter around each layer; they share rules, and biases in one attention."""
        from hydra_peft.adapters.kronecker import KroneckerLinear, KroneckerUpdate, kronecker_rule
        from hydra_peft.adapters.packed_qkv import starts_of

        rules: dict[str, dict[str, nn.Parameter]] = {}
        biases: dict[str, nn.Parameter] = {}
        found: dict[str, Adapter] = {}
        for name, layer in layers.items():
            attention, _, kind = name.rpartition(".")
            starts = starts_of(layer.out_features, self.parts) if self.parts else {kind: 0}
            width = layer.out_features // 3 if self.parts else layer.out_features
            for part in starts:
                if part not in rules:
                    rules[part] = kronecker_rule(self.phm_dim, layer.weight)
            found[name] = KroneckerLinear(
                layer,
                {p: KroneckerUpdate(rules[p], layer.in_features, width) for p in starts},
                starts,
                self._bias(biases, attention, layer, width),
                scale=self.scale,
                dropout=self.dropout,
            )
        return found

    def _bias(
        self, biases: dict[str, nn.Parameter], attention: str, layer: nn.Linear, width: int
    ) -> nn.Parameter | None:
        """Return the bias of the layers in ``attention``, kept in ``biases``."""
        from torch import nn

        if not self.bias:
            return None
        if attention not in biases:
            biases[attention] = nn.Parameter(layer.weight.new_zeros(width))
        if len(biases[attention]) != width:
            raise UserError(
                f"the layers that targets={self.targets} names in {attention} differ in width "
                f"({len(biases[attention])} and {width}), and they share a bias: set bias=false "
                "for this method."
            )
        return biases[attention]

    @property
    def label(self) -> str:
        """Name and number of products, such as ``kadaptation n=32``."""
        return f"{self.name} n={self.phm_dim}"

    def identity(self) -> dict[str, Any]:
        """Options with each part once, in the order of their rows."""
        return {**super().identity(), "parts": in_order(self.parts)}


METHOD = Kadaptation
