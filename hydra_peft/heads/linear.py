"""The linear head: one layer from features to outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hydra_peft.heads._class_vectors import ClassVectors


@dataclass(frozen=True)
class Linear(ClassVectors):
    """The classifier that timm gives the backbone, in torch's usual initialisation of a layer.

    With ``norm=batch`` it is that of ELEVATER's toolkit (Computer-Vision-in-the-Wild/
    Elevater_Toolkit_IC): BatchNorm without parameters, then the layer.
    """

    name: ClassVar[str] = "linear"


HEAD = Linear
