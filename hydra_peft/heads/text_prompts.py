"""A head whose class vectors start as features of texts that name the classes (zero-shot CLIP)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from hydra_peft.data.prompts import Prompts
from hydra_peft.errors import UserError
from hydra_peft.heads._class_vectors import ClassVectors, Norm

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class TextPrompts(ClassVectors):
    """Text features of a CLIP's text tower, one a class; bias 0 (Radford et al., arXiv 2103.00020).

    ELEVATER's toolkit trains such a layer behind a BatchNorm without parameters (``norm=batch``);
    untrained, CLIP compares images and texts by cosine similarity (``norm=unit``, ``scale=100``:
    ``head=zero_shot``).

    Attributes:
        prompts: the task's ``classes`` and ``templates``, see :mod:`hydra_peft.data.prompts`;
            ``conf`` points to them.
    """

    name: ClassVar[str] = "text_prompts"
    starts_from: ClassVar[str] = "text"
    untrained: ClassVar[str] = "zero_shot"
    of_task: ClassVar[tuple[str, ...]] = ("prompts",)

    norm: Norm = "batch"
    prompts: dict[str, Any] | None = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.prompts:
            raise UserError(
                f"{self.chosen_as} needs texts that name the classes, and this data set has none: "
                "choose those of a file in conf/prompts, as "
                "prompts@dataset.prompts=mini_fewshot/cells, or write such a file of your own."
            )
        self.texts()

    def texts(self) -> Prompts:
        """Return the prompts, checked."""
        return Prompts.of(self.prompts or {}, "dataset.prompts")

    def check_outputs(self, outputs: int) -> None:
        """Check that there is a name for each output.

        Raises:
            UserError: there are more or fewer.
        """
        if (count := len(self.texts().names)) != outputs:
            raise UserError(
                f"dataset.prompts.classes has {count} names, and the task has {outputs} classes: "
                "give one for each, in the order of the labels."
            )

    def attach(self, backbone: nn.Module, outputs: int) -> tuple[str, ...]:
        """Put a fresh layer onto ``backbone``.

        Raises:
            UserError: there is not a name for each output; or see the base class.
        """
        self.check_outputs(outputs)
        return super().attach(backbone, outputs)

    def identity(self) -> dict[str, Any]:
        """Return name and options; of the prompts their hash."""
        return {**super().identity(), "prompts": self.texts().sha256[:12]}


HEAD = TextPrompts
