"""The typed shape of a run's config: one dataclass for each group, in a module of the group's name.

The yaml files in ``conf`` hold the values; these classes hold names, types and limits. A class
checks what it can see alone and raises :class:`~hydra_peft.errors.UserError`; the field names are
the keys a user types (``optimizer.lr``). Every number has its limits (:mod:`hydra_peft.limits`).
"""

from __future__ import annotations

from hydra_peft.config.schema.data import DataConfig
from hydra_peft.config.schema.dataset import DatasetConfig, RecipeConfig
from hydra_peft.config.schema.model import ModelConfig
from hydra_peft.config.schema.outputs import PathsConfig, SaveConfig
from hydra_peft.config.schema.protocol import SEARCHES, FillsConfig, ProtocolConfig
from hydra_peft.config.schema.run import RunConfig
from hydra_peft.config.schema.start import InitFrom
from hydra_peft.config.schema.sweep import LauncherConfig, SweepConfig
from hydra_peft.config.schema.train import TrainConfig

__all__ = [
    "SEARCHES",
    "DataConfig",
    "DatasetConfig",
    "FillsConfig",
    "InitFrom",
    "LauncherConfig",
    "ModelConfig",
    "PathsConfig",
    "ProtocolConfig",
    "RecipeConfig",
    "RunConfig",
    "SaveConfig",
    "SweepConfig",
    "TrainConfig",
]
