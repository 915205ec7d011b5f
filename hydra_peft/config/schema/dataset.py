"""``dataset``: the task of a run, its splits and its recipe."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any

from hydra_peft.config.schema._group import (
    BatchSize,
    Classes,
    Group,
    Images,
    Seed,
    check_short_name,
    require,
)
from hydra_peft.data.few_shots import at_source
from hydra_peft.data.split_roles import FURTHER, SplitRoles
from hydra_peft.errors import UserError
from hydra_peft.limits import LearningRate, Scale, Share, check_limits
from hydra_peft.optimizers._base import WeightDecay
from hydra_peft.registry import ModuleOf
from hydra_peft.schedules._base import Epochs, WarmupEpochs
from hydra_peft.tasks import Task, build_task


@dataclass(frozen=True)
class RecipeConfig(Group, key="dataset.recipe"):
    """``dataset.recipe``: the hyper-parameters recommended for a task.

    Other groups point here (``optimizer.lr: ${dataset.recipe.lr...}``); overriding those is the
    usual way to change one.

    Attributes:
        lr: learning rate by kind of method: ``adapter``, ``linear``, ``full``.
        grid: what ``protocol.tune=true`` chooses from: values of dotted keys, or for each kind of
            method its own. Protocols point to ``lr``, ``scale`` and ``dropout``; others are tried
            beside what ``protocol.grid`` has.
        tuned_on: architectures, without timm's tag, that the learning rates were chosen on; empty
            where nobody chose them.
        method: options that a method's own recipe states for the task.
        by_task: values by option and task that the keys above point to.
        start: the task whose run's adapter the recipe starts from, as ``init_from`` takes it
            (``task:mnli``); null for none.
    """

    epochs: Epochs
    warmup_epochs: WarmupEpochs
    batch_size: BatchSize
    lr: dict[str, LearningRate]
    weight_decay: WeightDecay
    dropout: Share
    scale: Scale
    grid: dict[str, Any]
    tuned_on: list[str] = field(default_factory=list)
    method: dict[str, Any] = field(default_factory=dict)
    by_task: dict[str, Any] = field(default_factory=dict)
    start: str | None = None


@dataclass(frozen=True)
class DatasetConfig(Group, key="dataset"):
    """``dataset``: one task of a benchmark.

    Attributes:
        benchmark: such as ``mini``; runs of different benchmarks never share a table.
        name: the task's name within the benchmark.
        group: the benchmark's group of the task, such as ``structured``.
        source: module of :mod:`hydra_peft.data.sources` that reads it.
        folder: the task's folder in prepared data; null where nothing is read from disk.
        aliases: other names that folder goes by.
        classes: number of classes.
        splits: which split plays which role.
        sizes: number of examples by split, checked on loading.
        metric: the primary metric, which tables print and which selects epochs; ``accuracy`` is
            top-1.
        metrics: further ones that are recorded.
        kind: the kind of task, a module of :mod:`hydra_peft.tasks`.
        prompts: its classes in words and ``templates`` of sentences, for text towers
            (:mod:`hydra_peft.data.prompts`); empty where nobody wrote any.
        versions: recipe values that protocols differ in, by ``protocol.fills.recipe``.
        train_size: images that are drawn out of ``splits.train``; null takes all.
        shots: images of each class that are drawn out of it; null likewise.
        sampling_seed: of drawing ``shots`` as ELEVATER does, and holding out a fifth of them;
            null draws them by content. Where there are no ``shots`` it decides nothing.
        split_seed: of drawing by content, and of splitting.
        crop: whether the benchmark takes the middle of each image, whose short side is resized to
            the model's; false resizes all of it, whatever its proportions.
        source_options: the keys that ``source`` has of its own, as its ``OPTIONS``.
    """

    benchmark: str
    name: str
    group: str
    source: Annotated[str, ModuleOf("hydra_peft.data.sources")]
    classes: Classes
    splits: SplitRoles
    sizes: dict[str, Images]
    metric: Annotated[str, ModuleOf("hydra_peft.metrics")]
    recipe: RecipeConfig
    folder: str | None = None
    aliases: list[str] = field(default_factory=list)
    metrics: list[str] = field(default_factory=list)
    kind: Annotated[str, ModuleOf("hydra_peft.tasks")] = "classification"
    versions: dict[str, Any] = field(default_factory=dict)
    prompts: dict[str, Any] = field(default_factory=dict)
    train_size: Images | None = None
    shots: Images | None = None
    sampling_seed: Seed | None = None
    split_seed: Seed = 0
    crop: bool = False
    source_options: Any = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.task()
        # They become parts of paths, and a run's config may come from elsewhere.
        names = {"benchmark": self.benchmark, "name": self.name}
        names |= {"folder": self.folder} if self.folder is not None else {}
        names |= {f"aliases[{i}]": alias for i, alias in enumerate(self.aliases)}
        roles = dict(vars(self.splits))
        roles |= {f"{FURTHER}[{i}]": name for i, name in enumerate(roles.pop(FURTHER))}
        names |= {f"splits.{role}": name for role, name in roles.items() if name is not None}
        for key, name in names.items():
            plain = re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*", name) is not None
            require(plain, f"dataset.{key}", name, "a plain name of letters, digits and _.+-")
        check_short_name("dataset.group", self.group)
        splits = self.stored()
        # A sample takes the place of what a data set holds out.
        known = set(self.sizes)
        complete = known >= set(splits) if self.samples else known == set(splits)
        expected = f"a positive number for each of dataset.splits: {', '.join(splits)}"
        require(complete, "dataset.sizes", self.sizes, expected)
        for version, values in self.versions.items():
            key = f"dataset.versions.{version}"
            require(isinstance(values, dict), key, values, "a group of hyper-parameters")
            check_limits(RecipeConfig, values, f"{key}.")
        self._check_drawn()

    @property
    def samples(self) -> bool:
        """Whether the training data is a few-shot sample, see :mod:`hydra_peft.data.few_shots`."""
        return bool(self.shots) and self.sampling_seed is not None

    @property
    def draws(self) -> bool:
        """Whether ``split_seed`` decides anything."""
        split = getattr(self.source_options, "split", None)
        by_content = self.train_size or (self.shots and not self.samples)
        return bool(by_content or split is not None)

    def stored(self, splits: Iterable[str] = ()) -> tuple[str, ...]:
        """Return the splits that the source has of ``splits``; of all of them where none is
        named."""
        return at_source(splits or self.splits.names(), self.splits.train)

    def drawn(self) -> dict[str, int]:
        """Return, by full key, what is drawn of the training data; empty where nothing is."""
        values = {"train_size": self.train_size, "shots": self.shots}
        values |= {"split_seed": self.split_seed} if self.draws else {}
        found = {f"dataset.{key}": value for key, value in values.items() if value}
        if self.samples and self.sampling_seed is not None:
            found["dataset.sampling_seed"] = self.sampling_seed  # 0 too: null draws another way
        return found

    def _check_drawn(self) -> None:
        if self.train_size and self.shots:
            raise UserError(
                "dataset.train_size and dataset.shots are both set: set one of them to null."
            )
        if self.train_size and self.sampling_seed is not None:
            raise UserError(
                "dataset.sampling_seed is of dataset.shots, and dataset.train_size is drawn by "
                "dataset.split_seed: set dataset.sampling_seed to null."
            )
        single = self.task().has_hits
        if self.shots and not single and not (self.samples and self.task().has_classes):
            of_each = "has several of each" if self.task().has_classes else "has none"
            remedy = "dataset.sampling_seed=0" if self.task().has_classes else "dataset.train_size"
            raise UserError(
                f"dataset.shots={self.shots} is so many examples a class, and a task of kind "
                f"{self.kind} {of_each}: use {remedy}."
            )
        there = self.sizes[self.splits.train]
        count = self.train_size or ((self.shots or 0) * self.classes if single else 0)
        if count > there:
            key, value = ("train_size", count) if self.train_size else ("shots", self.shots)
            raise UserError(
                f"dataset.{key}={value} is more than dataset {self.name} has: {there:,} training "
                f"examples of {self.classes} classes."
            )
        if self.train_size and single and self.train_size < self.classes:
            raise UserError(
                f"dataset.train_size={self.train_size} is less than an example for each of the "
                f"{self.classes} classes of dataset {self.name}."
            )

    def task(self, label_smoothing: float = 0.0) -> Task:
        """Build the task: see :func:`hydra_peft.tasks.build_task`."""
        metrics = [self.metric, *self.metrics]
        return build_task(
            self.kind, outputs=self.classes, metrics=metrics, label_smoothing=label_smoothing
        )
