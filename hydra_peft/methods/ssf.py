"""SSF: a learned scale and shift behind every operation (Lian et al., arXiv 2210.08823)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from hydra_peft.errors import UserError
from hydra_peft.methods._base import Method

if TYPE_CHECKING:
    from torch import nn

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
    """

    name: ClassVar[str] = "ssf"
    targets: list[str] = field(default_factory=list)

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
        for layer in layers.values():
            replace_module(model, layer, ScaleShift(layer))
        return list(layers)


METHOD = Ssf
