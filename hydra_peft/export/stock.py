"""The call of ``timm.create_model`` that builds a run's model without anything of ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hydra_peft.backbones import models
from hydra_peft.backbones.vit_mini import EMBEDDED
from hydra_peft.config.schema import ModelConfig
from hydra_peft.errors import UserError
from hydra_peft.registry import is_known

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class StockModel:
    """A model of timm's by name and arguments.

    Attributes:
        name: timm's, with the tag of the weights where the run named one.
        arguments: of the constructor, beside ``num_classes``.
        outputs: width of the head.
    """

    name: str
    arguments: Mapping[str, Any]
    outputs: int

    def build(self) -> nn.Module:
        """Return it without weights, in evaluation mode."""
        import timm

        built: nn.Module = timm.create_model(
            self.name, pretrained=False, num_classes=self.outputs, **self.arguments
        )
        return built.eval()

    def call(self, **more: Any) -> str:
        """Return the Python text of its call with further arguments."""
        given = {"num_classes": self.outputs, **self.arguments, **more}
        words = ", ".join([repr(self.name), *(f"{key}={value!r}" for key, value in given.items())])
        return f"timm.create_model({words})"


def check_stock(model: ModelConfig) -> None:
    """Check, without torch, that a run's ``model`` group is of timm's models.

    Raises:
        UserError: it is not.
    """
    if is_known(models, model.architecture):
        raise UserError(
            f"its backbone, {model.name}, is none of timm's models and takes no images: only runs "
            "on those are exported; use hydra_peft.runs.rebuild.rebuild(folder)."
        )


def stock_model(model: ModelConfig, built: nn.Module, outputs: int) -> StockModel:
    """Return timm's model for a run's ``model`` group, of which ``built`` is made.

    Raises:
        UserError: its backbone is not timm's.
    """
    from hydra_peft.backbones.architectures import size_arguments

    check_stock(model)
    name, own = EMBEDDED.get(model.architecture, (model.architecture, {}))
    sized = size_arguments(built, model.image_size)
    return StockModel(name, {**own, **model.arguments, **sized}, outputs)
