"""Shared part of methods that put adapters into the transformer blocks of chosen MLPs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hydra_peft.errors import UserError
from hydra_peft.methods._base import Method


@dataclass(frozen=True)
class BlockMethod(Method):
    """A method that adapts transformer blocks, which it finds by their MLPs.

    Attributes:
        targets: name patterns of the MLPs whose blocks are adapted.
    """

    targets: list[str] = field(default_factory=lambda: ["mlp"])

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.targets or not all(isinstance(t, str) and t for t in self.targets):
            raise UserError(
                f"targets={self.targets} is not a list of name patterns of MLPs, such as [mlp]."
            )

    def module_targets(self) -> tuple[str, ...]:
        """All of ``targets``."""
        return tuple(self.targets)

    def identity(self) -> dict[str, Any]:
        """Options with each target once, in any order."""
        return {**super().identity(), "targets": sorted(set(self.targets))}
