"""``data``: decoding, augmenting and tokenising of a run's examples."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from hydra_peft.augmentations import Augmentation, augmentation_class
from hydra_peft.config.schema._group import Group
from hydra_peft.config.schema.dataset import DatasetConfig
from hydra_peft.limits import Limits, Words
from hydra_peft.registry import ModuleOf


@dataclass(frozen=True)
class DataConfig(Group, key="data"):
    """``data``: how images come to the model.

    Attributes:
        cache: splits kept decoded on disk: ``train`` (those of labelled training data), ``all`` or
            ``none``.
        normalization: ``backbone`` (what its weights were trained with) or ``imagenet``.
        allow_partial: accept other split sizes than the task's, or a task that was prepared from
            an incomplete original; records and tables then say so.
        augment: random changes of training images, a module of :mod:`hydra_peft.augmentations`.
        augment_options: its options; checked and completed by :mod:`hydra_peft.config.check`.
        max_length: tokens of a text or pair, special ones included, at most; longer ones are cut.
            null takes as many as the model has positions.
        hub: whether data sets that the Hugging Face hub has come from there, where their source
            reads it.
        crop: whether the middle of each image is taken: ``task`` as the data set's own ``crop``
            says, ``true``, ``false``.
    """

    cache: Annotated[str, Words("train", "all", "none")]
    normalization: Annotated[str, Words("backbone", "imagenet")]
    allow_partial: bool
    augment: Annotated[str, ModuleOf("hydra_peft.augmentations")] = "none"
    augment_options: dict[str, Any] = field(default_factory=dict)
    max_length: Annotated[int, Limits(least=8, most=100_000)] | None = None
    hub: bool = False
    crop: Annotated[str, Words("task", "true", "false")] = "task"

    def __post_init__(self) -> None:
        super().__post_init__()
        # yaml's true comes as "True"
        object.__setattr__(self, "crop", self.crop.lower())
        augmentation_class(self.augment)

    def crops(self, dataset: DatasetConfig) -> bool:
        """Whether the middle of each image of ``dataset`` is taken."""
        return dataset.crop if self.crop == "task" else self.crop == "true"

    def augmentation(self) -> Augmentation:
        """Build what changes training images."""
        return augmentation_class(self.augment)(**self.augment_options)
