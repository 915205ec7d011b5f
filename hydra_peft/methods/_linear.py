"""Shared part of methods that put an adapter in the place of chosen linear layers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hydra_peft.errors import UserError
from hydra_peft.methods._base import Method

if TYPE_CHECKING:
    from torch import nn

    from hydra_peft.adapters.base import Adapter

#: both projections of the paper's VTAB experiments, by their timm names
VTAB_TARGETS = ("attn.proj", "mlp.fc2")


@dataclass(frozen=True)
class LinearMethod(Method):
    """A method that adapts linear layers.

    Attributes:
        targets: name patterns of the layers to adapt.
    """

    targets: list[str] = field(default_factory=lambda: list(VTAB_TARGETS))

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.targets or not all(isinstance(t, str) and t for t in self.targets):
            raise UserError(
                f"targets={self.targets} is not a list of name patterns, such as "
                "[attn.proj, mlp.fc2]."
            )

    @abstractmethod
    def adapters(self, layers: Mapping[str, nn.Linear]) -> dict[str, Adapter]:
        """Return an adapter around each of ``layers``, by the layer's name.

        They were checked by :meth:`check_fit`.
        """

    def check_fit(self, layer: nn.Linear) -> None:
        """Check that the options fit one layer."""

    def apply(self, model: nn.Module, head: tuple[str, ...]) -> list[str]:
        """Put an adapter in the place of every target; return the names of the layers."""
        from hydra_peft.adapters.plain import computes_otherwise, is_plain, tell_of_merging
        from hydra_peft.adapters.surgery import replace_module
        from hydra_peft.adapters.targets import check_each, check_layer, find_linear_layers

        layers = find_linear_layers(model, self.targets, exclude=head)
        check_each(layers, check_layer)
        check_each(layers, self.check_fit)
        reasons = {n: None if is_plain(m) else computes_otherwise(m) for n, m in layers.items()}
        tell_of_merging(self.name, reasons)
        for name, adapter in self.adapters(layers).items():
            replace_module(model, layers[name], adapter)
        return list(layers)

    def linear_targets(self) -> tuple[str, ...]:
        """All of ``targets``."""
        return tuple(self.targets)

    def identity(self) -> dict[str, Any]:
        """Options with each target once, in any order."""
        return {**super().identity(), "targets": sorted(set(self.targets))}
