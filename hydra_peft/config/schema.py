"""The typed shape of a run's configuration: one dataclass for each config group.

The yaml files in ``conf`` hold the values; these classes hold names, types and limits. A class
checks what it can see alone and raises :class:`~hydra_peft.errors.UserError`; the field names are
the keys a user types (``optimizer.lr``).
"""

from __future__ import annotations

import dataclasses
import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from hydra_peft.errors import UserError
from hydra_peft.methods._base import Method

DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("fp32", "bf16")
SPLITS = ("train800", "val200", "train", "test")
#: what ``data.cache`` keeps on disk: the splits of the 1000 labelled images, the test set too, none
CACHES = ("train", "all", "none")
NORMALIZATIONS = ("backbone", "imagenet")
INITS = ("gaussian", "xavier", "kaiming")
SCHEDULES = ("cosine", "timm_cosine")
COMPILE = ("auto", "true", "false")
SELECTIONS = ("last", "best")
#: how tuning goes through ``protocol.grid``
SEARCHES = ("grid", "optuna")
#: options of a method that tuning chooses, where the method has them
TUNED_OPTIONS = ("scale", "dropout")
#: images that two splits share make a score worthless
OVERLAPS = {"train": ("train", "train800", "val200"), "train800": ("train", "train800")}
#: protocols that may choose an epoch on the test set, because the code they reproduce does
MAY_SELECT_ON_TEST = ("official",)
ON_EXISTING = ("skip", "rerun", "error")
#: which runs that ended without a score are started again: none, failed ones, diverged ones too
RETRY = ("none", "failed", "all")
#: what nobody means: a slip of the keyboard would take for ever, or all memory
MAX_EPOCHS = 1_000_000
MAX_CLASSES = 1_000_000
#: of numbers in ``model.arguments``: the largest of those that decide what is built, and of others
MAX_ARGUMENTS = {"depth": 128, "img_size": 4096}
MAX_ARGUMENT = 16_384


def _require(condition: bool, key: str, value: object, expected: str) -> None:
    # `not (nan > 0)`: a NaN fails every comparison, so it is refused wherever a limit is.
    if not condition:
        raise UserError(f"{key}={value} is not allowed: it must be {expected}.")


def _one_of(key: str, value: str, choices: tuple[str, ...]) -> None:
    _require(value in choices, key, value, f"one of {', '.join(choices)}")


def _numbers(value: object) -> Iterator[float]:
    """Yield the numbers in ``value``, which may be nested."""
    if isinstance(value, int | float):
        yield value
    elif isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _numbers(item)


@dataclass(frozen=True)
class ModelConfig:
    """``model``: which backbone, with which weights.

    Attributes:
        name: the backbone's name in records and tables.
        architecture: timm's model name, or an embedded one (``vit_mini``).
        checkpoint: local weights (``.npz``, ``.safetensors``, ``.pth``); null for the embedded
            ones or the hub.
        pretrained: false starts from random weights, which every record and table then says.
        drop_path: stochastic depth rate while training.
        arguments: further keyword arguments of the timm constructor, such as ``img_size``.
        url: where the weights can be fetched by hand, for messages.
    """

    name: str
    architecture: str
    checkpoint: str | None
    pretrained: bool
    drop_path: float
    arguments: dict[str, Any]
    url: str | None

    def __post_init__(self) -> None:
        _require(0 <= self.drop_path < 1, "model.drop_path", self.drop_path, "in [0, 1)")
        for name, value in self.arguments.items():
            most = MAX_ARGUMENTS.get(name, MAX_ARGUMENT)
            within = all(-most <= number <= most for number in _numbers(value))
            _require(within, f"model.arguments.{name}", value, f"numbers up to {most:,}")
        file = self.checkpoint or ""
        _require("\0" not in file, "model.checkpoint", repr(file), "without a NUL")
        if self.checkpoint is not None and not self.pretrained:
            raise UserError(
                "model.checkpoint is set and model.pretrained is false: random weights have no "
                "checkpoint, so drop one of the two."
            )


@dataclass(frozen=True)
class GridConfig:
    """Values that tuning chooses from: all of them, or the ranges that they span.

    Attributes:
        lr: learning rates.
        scale: branch scales; not used by methods without branches.
        dropout: branch dropouts; likewise.
    """

    lr: list[float]
    scale: list[float]
    dropout: list[float]

    def __post_init__(self) -> None:
        for key in ("lr", "scale", "dropout"):
            values = getattr(self, key)
            finite = bool(values) and all(math.isfinite(value) for value in values)
            _require(finite, f"protocol.grid.{key}", values, "a list of at least one number")


@dataclass(frozen=True)
class RecipeGridConfig:
    """``dataset.recipe.grid``: what tuning tries; ``lr`` by kind of method."""

    lr: dict[str, list[float]]
    scale: list[float]
    dropout: list[float]


@dataclass(frozen=True)
class RecipeConfig:
    """``dataset.recipe``: the hyper-parameters recommended for a task.

    Other groups point here (``optimizer.lr: ${dataset.recipe.lr...}``); overriding those is the
    usual way to change one.

    Attributes:
        lr: learning rate by kind of method: ``adapter``, ``linear``, ``full``.
        grid: what ``protocol.tune=true`` chooses from.
    """

    epochs: int
    warmup_epochs: int
    batch_size: int
    lr: dict[str, float]
    weight_decay: float
    dropout: float
    scale: float
    grid: RecipeGridConfig


@dataclass(frozen=True)
class DatasetConfig:
    """``dataset``: one task of a benchmark.

    Attributes:
        benchmark: such as ``mini``; runs of different benchmarks never share a table.
        name: the task's name within the benchmark.
        column: the task's title in the paper's tables.
        group: the benchmark's group of the task, such as ``structured``.
        source: module of :mod:`hydra_peft.data.sources` that reads it.
        folder: the task's folder in prepared data; null where nothing is read from disk.
        aliases: other names that folder goes by.
        classes: number of classes.
        sizes: number of images by split, checked on loading.
        metric: what the test score is; ``accuracy`` is top-1.
        versions: recipe values that protocols differ in, by ``protocol.fills.recipe``.
    """

    benchmark: str
    name: str
    column: str
    group: str
    source: str
    classes: int
    sizes: dict[str, int]
    metric: str
    recipe: RecipeConfig
    folder: str | None = None
    aliases: list[str] = field(default_factory=list)
    versions: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        in_range = 2 <= self.classes <= MAX_CLASSES
        expected = f"at least 2 and at most {MAX_CLASSES:,}"
        _require(in_range, "dataset.classes", self.classes, expected)
        _one_of("dataset.metric", self.metric, ("accuracy",))
        # They become parts of paths, and a run's config may come from elsewhere.
        names = {"benchmark": self.benchmark, "name": self.name}
        names |= {"folder": self.folder} if self.folder is not None else {}
        names |= {f"aliases[{i}]": alias for i, alias in enumerate(self.aliases)}
        for key, name in names.items():
            plain = re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*", name) is not None
            _require(plain, f"dataset.{key}", name, "a plain name of letters, digits and _.+-")
        complete = set(self.sizes) == set(SPLITS) and min(self.sizes.values()) >= 1
        _require(complete, "dataset.sizes", self.sizes, f"a positive number each of {SPLITS}")


@dataclass(frozen=True)
class DataConfig:
    """``data``: how images come to the model.

    Attributes:
        cache: splits kept decoded on disk: ``train`` (those of the 1000), ``all`` or ``none``.
        normalization: ``backbone`` (what its weights were trained with) or ``imagenet``.
        allow_partial: accept other split sizes than the task's, or a task that was prepared from
            an incomplete original; records and tables then say so.
    """

    cache: str
    normalization: str
    allow_partial: bool

    def __post_init__(self) -> None:
        _one_of("data.cache", self.cache, CACHES)
        _one_of("data.normalization", self.normalization, NORMALIZATIONS)


@dataclass(frozen=True)
class OptimizerConfig:
    """``optimizer``: AdamW over adapter and head, one parameter group as in the released code."""

    name: str
    lr: float
    weight_decay: float
    betas: list[float]
    eps: float

    def __post_init__(self) -> None:
        _one_of("optimizer.name", self.name, ("adamw",))
        _require(0 < self.lr <= 1e6, "optimizer.lr", self.lr, "positive and at most 1e6")
        _require(
            0 <= self.weight_decay < math.inf,
            "optimizer.weight_decay",
            self.weight_decay,
            "at least 0",
        )
        _require(
            len(self.betas) == 2 and all(0 <= beta < 1 for beta in self.betas),
            "optimizer.betas",
            self.betas,
            "two numbers in [0, 1)",
        )
        _require(0 < self.eps < math.inf, "optimizer.eps", self.eps, "positive")


@dataclass(frozen=True)
class SchedulerConfig:
    """``scheduler``: linear warm-up, then a cosine; see :mod:`hydra_peft.training.schedule`.

    Attributes:
        name: ``cosine`` (moves each step) or ``timm_cosine`` (moves each epoch, as timm's
            scheduler does when it is called as the released code calls it).
        warmup_epochs: length of the warm-up, part of ``train.epochs``.
        warmup_lr: learning rate at the first step.
        min_lr: learning rate that the cosine ends at.
        period_epochs: length of the cosine of ``timm_cosine``; null is ``train.epochs``.
    """

    name: str
    warmup_epochs: int
    warmup_lr: float
    min_lr: float
    period_epochs: int | None

    def __post_init__(self) -> None:
        _one_of("scheduler.name", self.name, SCHEDULES)
        for key in ("warmup_epochs", "warmup_lr", "min_lr"):
            value = getattr(self, key)
            _require(0 <= value < math.inf, f"scheduler.{key}", value, "at least 0")
        period = self.period_epochs
        _require(
            period is None or period >= 1, "scheduler.period_epochs", period, "null or positive"
        )
        if period is not None and self.name == "cosine":
            raise UserError(
                "scheduler.period_epochs is for scheduler.name=timm_cosine: the cosine of "
                "scheduler.name=cosine always ends with training."
            )


@dataclass(frozen=True)
class FillsConfig:
    """``protocol.fills``: what a protocol decides for other groups, which point here.

    Attributes:
        recipe: which of the task's recipe versions holds.
        init: of down-projections (``method.init``).
        drop_path: stochastic depth rate (``model.drop_path``).
        drop_last: whether smaller last batches are left out (``train.drop_last``).
        normalization: of images (``data.normalization``).
        schedule: ``scheduler.name``; ``period_epochs`` and ``min_lr`` likewise.
    """

    recipe: str
    init: str
    drop_path: float
    drop_last: bool
    normalization: str
    schedule: str
    period_epochs: int | None
    min_lr: float


@dataclass(frozen=True)
class ProtocolConfig:
    """``protocol``: what is trained on, what is scored, and which epoch counts.

    Attributes:
        name: goes into every record and table.
        train_split: ``train`` (all 1000) or ``train800``.
        evaluate_split: ``test`` or ``val200``.
        selection: ``last`` epoch, or the ``best`` of the evaluations on ``evaluate_split``.
        evaluate_every: epochs between evaluations; null evaluates once, at the end.
        tune: choose lr, scale and dropout out of ``grid`` on val200 after training on train800,
            then do the run with what was chosen.
        grid: what is tried.
        fills: what other groups take from the protocol.
        search: ``grid`` tries every combination of ``grid``; ``optuna`` draws ``trials`` of them
            out of the ranges that its values span.
        trials: how many ``optuna`` tries.
    """

    name: str
    train_split: str
    evaluate_split: str
    selection: str
    evaluate_every: int | None
    tune: bool
    grid: GridConfig
    fills: FillsConfig
    search: str = "grid"
    trials: int = 20

    def __post_init__(self) -> None:
        _one_of("protocol.train_split", self.train_split, tuple(OVERLAPS))
        _one_of("protocol.evaluate_split", self.evaluate_split, SPLITS)
        if self.evaluate_split in OVERLAPS[self.train_split]:
            raise UserError(
                f"protocol.evaluate_split={self.evaluate_split} overlaps "
                f"protocol.train_split={self.train_split}: score on images that are not trained on."
            )
        _one_of("protocol.selection", self.selection, SELECTIONS)
        _one_of("protocol.search", self.search, SEARCHES)
        _require(self.trials >= 1, "protocol.trials", self.trials, "at least 1")
        every = self.evaluate_every
        _require(every is None or every >= 1, "protocol.evaluate_every", every, "null or positive")
        if self.selection == "best" and every is None:
            raise UserError("protocol.selection=best needs protocol.evaluate_every: set it to 1.")
        on_test = self.selection == "best" and self.evaluate_split == "test"
        if on_test and self.name not in MAY_SELECT_ON_TEST:
            raise UserError(
                f"protocol.name={self.name} may not select the best epoch on the test set: only "
                f"{', '.join(MAY_SELECT_ON_TEST)} may; use protocol.evaluate_split=val200."
            )
        if self.tune and (self.train_split, self.evaluate_split) != ("train", "test"):
            raise UserError(
                "protocol.tune=true chooses on val200 before a run on all 1000 images and the test "
                f"set; protocol.name={self.name} trains on {self.train_split} and scores "
                f"{self.evaluate_split}."
            )
        if self.tune and self.selection != "last":
            raise UserError(
                "protocol.tune=true scores the last epoch on the test set once, while "
                f"protocol.name={self.name} selects the best of several: use protocol=clean."
            )


@dataclass(frozen=True)
class TrainConfig:
    """``train``: the loop.

    Attributes:
        epochs: passes over the training split.
        batch_size: images per step.
        drop_last: whether a last, smaller batch of an epoch is left out.
        clip_grad: largest norm of the gradient; null does not clip.
        label_smoothing: of the cross-entropy; off in the paper.
        compile: ``auto`` compiles the model's blocks where it pays, on CUDA; ``true``, ``false``.
        cuda_graph: replay the compiled blocks as CUDA graphs.
        profile: write where the time of a step goes into the run's folder.
        checkpoint_every: epochs between checkpoints to resume from; null writes one only when the
            run is interrupted.
    """

    epochs: int
    batch_size: int
    drop_last: bool
    clip_grad: float | None
    label_smoothing: float
    compile: str = "auto"
    cuda_graph: bool = False
    profile: bool = False
    checkpoint_every: int | None = 10

    def __post_init__(self) -> None:
        # yaml's true comes as "True"
        object.__setattr__(self, "compile", self.compile.lower())
        _one_of("train.compile", self.compile, COMPILE)
        if self.cuda_graph and self.compile == "false":
            raise UserError(
                "train.cuda_graph=true replays compiled blocks, but train.compile=false: set "
                "train.compile=true, or train.cuda_graph=false."
            )
        in_range = 1 <= self.epochs <= MAX_EPOCHS
        _require(in_range, "train.epochs", self.epochs, f"at least 1 and at most {MAX_EPOCHS:,}")
        _require(self.batch_size >= 1, "train.batch_size", self.batch_size, "at least 1")
        every = self.checkpoint_every
        _require(every is None or every >= 1, "train.checkpoint_every", every, "null or at least 1")
        _require(
            self.clip_grad is None or 0 < self.clip_grad < math.inf,
            "train.clip_grad",
            self.clip_grad,
            "null or positive",
        )
        _require(
            0 <= self.label_smoothing < 1,
            "train.label_smoothing",
            self.label_smoothing,
            "in [0, 1)",
        )


@dataclass(frozen=True)
class PathsConfig:
    """``paths``: the only place that knows folders; a leading ``~`` is written out."""

    runs: str
    cache: str
    data: str

    def __post_init__(self) -> None:
        for key in ("runs", "cache", "data"):
            folder = getattr(self, key)
            _require(bool(folder.strip()), f"paths.{key}", "''", "a folder")
            _require("\0" not in folder, f"paths.{key}", repr(folder), "without a NUL")
            object.__setattr__(self, key, os.path.expanduser(folder))  # the class is frozen


@dataclass(frozen=True)
class SweepConfig:
    """``sweep``: what to do about runs that there are already, and before the first job.

    Attributes:
        on_existing: about a completed one of the same identity: ``skip`` it, ``rerun`` (the
            earlier folder is kept beside), or ``error``.
        retry: about one that failed: nothing (``none``), start it again (``failed``), diverged
            ones too (``all``). Interrupted ones always go on.
        fail_fast: stop after the first job that does not complete.
        dry_run: print what would be done and end.
    """

    on_existing: str
    retry: str = "none"
    fail_fast: bool = False
    dry_run: bool = False

    def __post_init__(self) -> None:
        _one_of("sweep.on_existing", self.on_existing, ON_EXISTING)
        _one_of("sweep.retry", self.retry, RETRY)


@dataclass(frozen=True)
class LauncherConfig:
    """``launcher``: what ``hydra/launcher=local`` makes of this machine.

    Attributes:
        gpus: ``all``, or a list of those that this process sees: ``[0,2]``.
        jobs_per_gpu: jobs that share a GPU.
        cpu_slots: jobs at a time where the device is the CPU; ``auto`` is half the cores.
    """

    gpus: Any = "all"
    jobs_per_gpu: int = 1
    cpu_slots: Any = "auto"

    def __post_init__(self) -> None:
        gpus = [self.gpus] if _is_count(self.gpus, 0) else self.gpus
        listed = isinstance(gpus, list) and bool(gpus) and all(_is_count(gpu, 0) for gpu in gpus)
        distinct = listed and len(set(gpus)) == len(gpus)
        expected = "all or a list of different GPUs, such as [0,2]"
        _require(gpus == "all" or distinct, "launcher.gpus", gpus, expected)
        object.__setattr__(self, "gpus", gpus if gpus == "all" else tuple(gpus))
        _require(self.jobs_per_gpu >= 1, "launcher.jobs_per_gpu", self.jobs_per_gpu, "at least 1")
        _require(
            self.cpu_slots == "auto" or _is_count(self.cpu_slots, 1),
            "launcher.cpu_slots",
            self.cpu_slots,
            "auto or a positive whole number",
        )


def _is_count(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


@dataclass(frozen=True)
class RunConfig:
    """Everything about one run, typed and checked.

    Attributes:
        settings: the science apart from task and seed, as configured: a value that comes from the
            task's recipe stands as the reference to it. Runs with equal settings make one table
            row, although the recipe gives each task its own learning rate.
    """

    model: ModelConfig
    method: Method
    dataset: DatasetConfig
    data: DataConfig
    optimizer: OptimizerConfig
    scheduler: SchedulerConfig
    protocol: ProtocolConfig
    train: TrainConfig
    paths: PathsConfig
    sweep: SweepConfig
    seed: int
    device: str
    precision: str
    settings: dict[str, Any]
    launcher: LauncherConfig = field(default_factory=LauncherConfig)

    def __post_init__(self) -> None:
        _require(0 <= self.seed < 2**32, "seed", self.seed, "in [0, 2**32)")
        _one_of("device", self.device, DEVICES)
        _one_of("precision", self.precision, PRECISIONS)
        if self.scheduler.warmup_epochs >= self.train.epochs:
            raise UserError(
                f"scheduler.warmup_epochs={self.scheduler.warmup_epochs} leaves nothing of "
                f"train.epochs={self.train.epochs}: train longer, or set scheduler.warmup_epochs "
                "below it (0 is allowed)."
            )
        if self.protocol.tune:
            _check_grid(self.protocol.grid, self.optimizer, self.method)


def _check_grid(grid: GridConfig, optimizer: OptimizerConfig, method: Method) -> None:
    """Find a value that cannot be run now, not in the middle of a search."""
    own = {field.name for field in dataclasses.fields(method)}
    try:
        for lr in grid.lr:
            dataclasses.replace(optimizer, lr=lr)
        for option in own.intersection(TUNED_OPTIONS):
            for value in getattr(grid, option):
                dataclasses.replace(method, **{option: value})
    except UserError as error:
        raise UserError(f"protocol.grid has a value that cannot be run: {error}") from None
