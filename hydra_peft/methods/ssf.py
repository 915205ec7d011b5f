"""SSF: a learned scale and shift behind every operation (Lian et al., arXiv 2210.08823)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, ClassVar

from hydra_peft.errors import UserError
from hydra_peft.limits import Words
from hydra_peft.methods._base import Method

if TYPE_CHECKING:
    from torch import nn

#: where layers have no bias
_SET_SHIFT = (
    "set shift=biased, which scales such layers alone (where a model reads their weight and keeps "
    "the bias elsewhere, as BEiT and EVA do, a shift has no effect)"
)

#: norms of queries and keys lie inside attention, where the release (dongzelian/SSF) has nothing
INSIDE_ATTENTION = ("q_norm", "k_norm")


@dataclass(frozen=True)
class Ssf(Method):
    r"""SSF (205,824 parameters on ViT-B/16).

    .. math:: h = \gamma \circ f(x) + \beta, \qquad \gamma \sim N(1, 0.02^2),
              \quad \beta \sim N(0, 0.02^2)

    Each linear layer, convolution and norm of the backbone gets its pair: on a vision transformer
    patch embedding, both norms, qkv, attn.proj, fc1 and fc2 of each block and the last norm, as in
    the release (dongzelian/SSF, ``models/vision_transformer.py``). Merging is exact.

    Attributes:
        targets: name patterns of the layers; empty for all of them.
        shift: which layers are shifted: ``all``, or ``biased``, those that have a bias to merge
            the shift into; the others are scaled alone.
    """

    name: ClassVar[str] = "ssf"
    added: ClassVar[tuple[str, ...]] = ("shift",)
    targets: list[str] = field(default_factory=list)
    shift: Annotated[str, Words("all", "biased")] = "all"

    def apply(self, model: nn.Module, head: tuple[str, ...]) -> list[str]:
        """Put a :class:`~hydra_peft.adapters.scale_shift.ScaleShift` around every layer."""
        from hydra_peft.adapters.plain import LINEAR_IN_WEIGHTS
        from hydra_peft.adapters.scale_shift import ScaleShift, check_scalable
        from hydra_peft.adapters.surgery import replace_module
        from hydra_peft.adapters.targets import check_each, find_modules, lies_in

        if self.targets:
            layers = find_modules(model, self.targets, exclude=head)
        else:
            layers = {
                name: module
                for name, module in model.named_modules()
                if isinstance(module, LINEAR_IN_WEIGHTS)
                and module.weight is not None
                and not any(lies_in(name, top) for top in head)
                and name.rpartition(".")[2] not in INSIDE_ATTENTION
            }
        if not layers:
            raise UserError(
                f"{type(model).__name__} has no layer that could be scaled and shifted."
            )
        check_each(layers, check_scalable)
        self._tell_of_merging(layers)
        for layer in layers.values():
            replace_module(model, layer, ScaleShift(layer, shift=self._shifts(layer)))
        return list(layers)

    def _shifts(self, layer: nn.Module) -> bool:
        return self.shift == "all" or layer.bias is not None

    def _tell_of_merging(self, layers: Mapping[str, nn.Module]) -> None:
        """Warn of layers that what is trained beside them cannot be merged into."""
        from hydra_peft.adapters.plain import tell_of_merging, why_not_folded

        other = {name: why_not_folded(layer, constant=False) for name, layer in layers.items()}
        bare = {
            name: why_not_folded(layer, constant=self._shifts(layer))
            for name, layer in layers.items()
            if other[name] is None
        }
        tell_of_merging(self.name, other)
        tell_of_merging(self.name, bare, _SET_SHIFT)


METHOD = Ssf
