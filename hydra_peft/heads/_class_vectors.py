"""Heads whose outputs are products of features with one vector a class; where these start from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any

from hydra_peft.errors import UserError
from hydra_peft.heads._base import Head, put_in_place_of_linear, put_linear
from hydra_peft.limits import Limits, Words

if TYPE_CHECKING:
    from torch import Tensor, nn

Norm = Annotated[str, Words("none", "batch", "unit")]
Factor = Annotated[float, Limits(above=0, most=1e4, logarithmic=True)]


@dataclass(frozen=True)
class ClassVectors(Head):
    """``head``: ``scale (W n(x) + b)``; each row of W is the vector of a class.

    Attributes:
        norm: n: ``none``, ``batch`` (BatchNorm without parameters of its own) or ``unit`` (L2).
        scale: factor of the outputs.
    """

    norm: Norm = "none"
    scale: Factor = 1.0

    @property
    def least_batch(self) -> int:
        """Two before BatchNorm: there are no statistics of one example alone."""
        return 2 if self.norm == "batch" else 1

    def attach(self, backbone: nn.Module, outputs: int) -> tuple[str, ...]:
        """Put a fresh layer onto ``backbone``; one of random values is timm's own.

        Raises:
            UserError: the backbone's classifier is not linear, where something stands before it.
        """
        if self.norm == "none" and self.scale == 1:
            return put_linear(backbone, outputs)
        from hydra_peft.heads._classifier import Classifier

        return put_in_place_of_linear(
            backbone,
            outputs,
            lambda width: Classifier(width, outputs, norm=self.norm, scale=self.scale),
        )

    def set_vectors(self, model: nn.Module, names: Sequence[str], vectors: Tensor) -> None:
        """Let W start from ``vectors`` and b from zero, in place.

        Args:
            model: with this head attached, adapted or not.
            names: of the head's modules.
            vectors: float ``[outputs, width]``.

        Raises:
            UserError: they have another size.
        """
        import torch

        for name in names:
            module: Any = model.get_submodule(name)
            linear = getattr(module, "linear", module)
            if tuple(linear.weight.shape) != tuple(vectors.shape):
                raise UserError(
                    f"{self.chosen_as} has vectors of shape {tuple(vectors.shape)} for a layer of "
                    f"shape {tuple(linear.weight.shape)}: another backbone's, or model.projection "
                    "is not what its texts have."
                )
            with torch.no_grad():
                linear.weight.copy_(vectors)
                if linear.bias is not None:
                    linear.bias.zero_()

    def identity(self) -> dict[str, Any]:
        """Return name and options; ``norm`` and ``scale``, which came later, where they act."""
        usual = {f.name: f.default for f in fields(ClassVectors)}
        found = super().identity()
        return {k: v for k, v in found.items() if k not in usual or v != usual[k]}
