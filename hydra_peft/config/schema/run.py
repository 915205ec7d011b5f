"""The whole config of a run, and what its groups have to agree on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from hydra_peft.config.grid import check_choices
from hydra_peft.config.preparation import check_preparation
from hydra_peft.config.schema._group import Group, Seed
from hydra_peft.config.schema.data import DataConfig
from hydra_peft.config.schema.dataset import DatasetConfig
from hydra_peft.config.schema.model import ModelConfig
from hydra_peft.config.schema.outputs import PathsConfig, SaveConfig
from hydra_peft.config.schema.protocol import ProtocolConfig
from hydra_peft.config.schema.start import InitFrom
from hydra_peft.config.schema.sweep import LauncherConfig, SweepConfig
from hydra_peft.config.schema.train import TrainConfig
from hydra_peft.config.split_checks import check_held_out, check_splits
from hydra_peft.errors import UserError
from hydra_peft.heads._base import Head
from hydra_peft.heads.linear import Linear
from hydra_peft.limits import Words
from hydra_peft.methods._base import Method
from hydra_peft.optimizers._base import Optimizer
from hydra_peft.schedules._base import Schedule
from hydra_peft.tasks import Task
from hydra_peft.trackers import Tracker
from hydra_peft.trackers.tensorboard import TensorBoard


@dataclass(frozen=True)
class RunConfig(Group):
    """Everything about one run, typed and checked.

    Attributes:
        precision: ``auto`` is what the device is fastest in, which
            :mod:`hydra_peft.runs.on_device` settles.
        settings: the science apart from task and seed, as configured: a value that comes from the
            task's recipe stands as the reference to it. Runs with equal settings make one table
            row, although the recipe gives each task its own learning rate.
        init_from: the run whose adapter is started from; None starts from a fresh one.
        plugins: modules of one's own that the names of groups are looked up in; see
            :mod:`hydra_peft.plugins`.
        logger: trackers by name, which show how the run goes; no part of its identity.
    """

    model: ModelConfig
    method: Method
    dataset: DatasetConfig
    data: DataConfig
    optimizer: Optimizer
    scheduler: Schedule
    protocol: ProtocolConfig
    train: TrainConfig
    paths: PathsConfig
    sweep: SweepConfig
    seed: Seed
    device: Annotated[str, Words("auto", "cpu", "cuda")]
    precision: Annotated[str, Words("auto", "fp32", "bf16")]
    settings: dict[str, Any]
    launcher: LauncherConfig = field(default_factory=LauncherConfig)
    save: SaveConfig = field(default_factory=SaveConfig)
    head: Head = field(default_factory=Linear)
    init_from: InitFrom | None = None
    plugins: list[str] = field(default_factory=list)
    logger: dict[str, Tracker] = field(default_factory=lambda: {"tensorboard": TensorBoard()})

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(start := vars(self)["init_from"], dict):  # as plain values have it
            object.__setattr__(self, "init_from", InitFrom(**start))
        check_splits(self.protocol, self.dataset)
        if self.head.starts_from == "text":
            self._check_text_tower()
        if (prepared := self.method.preparation()) is not None:
            check_held_out(self.protocol, self.dataset, prepared.asked)
            check_preparation(self, prepared)
        if self.protocol.tune:
            # What tuning decides, these values do not.
            check_choices(self)
            return
        if self.train.epochs and self.scheduler.warmup_epochs >= self.train.epochs:
            raise UserError(
                f"scheduler.warmup_epochs={self.scheduler.warmup_epochs} leaves nothing of "
                f"train.epochs={self.train.epochs}: train longer, or set scheduler.warmup_epochs "
                "below it (0 is allowed)."
            )
        self._check_rates()
        if self.train.label_smoothing:
            self.task()

    def _check_text_tower(self) -> None:
        model = self.model
        if model.text_tower is None or model.projection is None:
            raise UserError(
                f"{self.head.chosen_as} starts from features of texts, and model '{model.name}' "
                "has no text tower: take a CLIP, such as model=clip_vit_base_patch32, or another "
                "head."
            )
        if not model.pretrained:
            raise UserError(
                f"{self.head.chosen_as} starts from features of texts, which mean nothing to the "
                "random weights of model.pretrained=false: take another head."
            )

    @property
    def chooses(self) -> bool:
        """Whether something is chosen on held-out data before the run: by tuning or the method."""
        return self.protocol.tune or self.method.preparation() is not None

    @property
    def choosing_seed(self) -> int:
        """The seed of what chooses before the run: one for all seeds of a row, or the run's own."""
        shared = self.protocol.tune_seed if self.chooses else None
        return self.seed if shared is None else shared

    def task(self) -> Task:
        """Build the task: loss, metrics and the width of its head.

        Raises:
            UserError: the kind of task has no use for label smoothing.
        """
        return self.dataset.task(self.train.label_smoothing)

    def _check_rates(self) -> None:
        """Check that a schedule rises to its learning rate and falls from it."""
        lr = self.optimizer.lr
        for end, rate in self.scheduler.ends().items():
            if rate > lr:
                raise UserError(
                    f"scheduler.{end}={rate} is above optimizer.lr={lr}, where the schedule has "
                    f"its peak: set scheduler.{end} to that or less (0 is allowed)."
                )
