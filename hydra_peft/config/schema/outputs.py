"""``paths`` and ``save``: where files are, and which ones a run keeps."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Annotated

from hydra_peft.config.schema._group import Group, require
from hydra_peft.limits import Words


@dataclass(frozen=True)
class PathsConfig:
    """``paths``: the only place that knows folders; a leading ``~`` is written out."""

    runs: str
    cache: str
    data: str
    #: configs of older code have none; where it is used, the path in ``model.checkpoint`` is whole
    weights: str = "data/weights"

    def __post_init__(self) -> None:
        for key in ("runs", "cache", "data", "weights"):
            folder = getattr(self, key)
            require(bool(folder.strip()), f"paths.{key}", "''", "a folder")
            require("\0" not in folder, f"paths.{key}", repr(folder), "without a NUL")
            object.__setattr__(self, key, os.path.expanduser(folder))  # the class is frozen


@dataclass(frozen=True)
class SaveConfig(Group, key="save"):
    """``save``: what a run keeps beside its record and what it trained.

    Attributes:
        predictions: what the model says of each example of the scored splits: ``true``, ``false``,
            or ``auto``, of splits of up to 50,000 examples.
    """

    predictions: Annotated[str, Words("auto", "true", "false")] = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        # yaml's true comes as "True"
        object.__setattr__(self, "predictions", self.predictions.lower())
