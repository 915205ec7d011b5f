"""The typed shape of a run's configuration: one dataclass for each config group.

The yaml files in ``conf`` hold the values; these classes hold names, types and limits. A class
checks what it can see alone and raises :class:`~hydra_peft.errors.UserError`; the field names are
the keys a user types (``optimizer.lr``). Every number has its limits (:mod:`hydra_peft.limits`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any

from hydra_peft.augmentations import Augmentation, augmentation_class
from hydra_peft.backbones.image_sizes import ImageSize, check_image_size
from hydra_peft.config.grid import COARSE_TO_FINE, RELEASED, check_choices
from hydra_peft.config.preparation import check_preparation
from hydra_peft.config.split_checks import check_held_out, check_splits
from hydra_peft.data.few_shots import at_source
from hydra_peft.data.split_roles import FURTHER, SplitRoles
from hydra_peft.errors import UserError
from hydra_peft.heads._base import Head
from hydra_peft.heads.linear import Linear
from hydra_peft.limits import LearningRate, Limits, Scale, Share, check_limits
from hydra_peft.methods._base import Method
from hydra_peft.optimizers._base import Optimizer, WeightDecay
from hydra_peft.plain_text import shortened
from hydra_peft.schedules._base import EndRate, Epochs, Schedule, WarmupEpochs
from hydra_peft.tasks import Task, build_task

DEVICES = ("auto", "cpu", "cuda")
#: ``auto``: what the device is fastest in, which :mod:`hydra_peft.runs.on_device` settles
PRECISIONS = ("auto", "fp32", "bf16")
#: what ``data.cache`` keeps on disk: the splits of labelled training data, all splits, none
CACHES = ("train", "all", "none")
CROPS = ("task", "true", "false")
NORMALIZATIONS = ("backbone", "imagenet")
#: characters of a name in records and tables, and of a refused value in a message
_LONGEST = 100
COMPILE = ("auto", "true", "false")
PREDICTIONS = ("auto", "true", "false")
SELECTIONS = ("last", "best")
#: how tuning goes through ``protocol.grid``
SEARCHES = ("grid", "optuna", *COARSE_TO_FINE)
ON_EXISTING = ("skip", "rerun", "error")
#: which runs that ended without a score are started again: none, failed ones, diverged ones too
RETRY = ("none", "failed", "all")
#: the most are what nobody means: a slip of the keyboard would take for ever, or all memory
Classes = Annotated[int, Limits(least=1, most=1_000_000)]
Images = Annotated[int, Limits(least=1, most=100_000_000)]
Seed = Annotated[int, Limits(least=0, below=2**32)]
BatchSize = Annotated[int, Limits(least=1, most=100_000, logarithmic=True)]
#: more jobs at a time than any machine has room for
MAX_SLOTS = 1024


def _require(condition: bool, key: str, value: object, expected: str) -> None:
    if not condition:
        shown = shortened(str(value), _LONGEST)
        raise UserError(f"{key}={shown} is not allowed: it must be {expected}.")


def _name(key: str, value: str) -> None:
    """Check a text that names something in records and tables."""
    fits = 0 < len(value.strip()) == len(value) <= _LONGEST and value.isprintable()
    _require(fits, key, value, f"a name of at most {_LONGEST} characters")


def _one_of(key: str, value: str, choices: tuple[str, ...]) -> None:
    _require(value in choices, key, value, f"one of {', '.join(choices)}")


@dataclass(frozen=True)
class _Group:
    """A group of keys: its numbers are compared with their limits when it is built."""

    _prefix = ""

    def __init_subclass__(cls, key: str = "") -> None:
        cls._prefix = f"{key}." if key else ""

    def __post_init__(self) -> None:
        check_limits(type(self), vars(self), self._prefix)


@dataclass(frozen=True)
class ModelConfig(_Group, key="model"):
    """``model``: which backbone, with which weights.

    Attributes:
        name: the backbone's name in records and tables.
        architecture: timm's model name, an embedded one (``vit_mini``), or a module of
            :mod:`hydra_peft.backbones.models` (``roberta``).
        checkpoint: local weights (``.npz``, ``.safetensors``, ``.pth``), of a text encoder their
            folder; null for the embedded ones or the hub.
        pretrained: false starts from random weights, which every record and table then says.
        drop_path: stochastic depth rate while training.
        arguments: further keyword arguments of the timm constructor.
        url: where the weights can be fetched by hand, for messages.
        prepare: the name under which ``scripts/prepare_weights.py`` makes them, for messages.
        image_size: side of the images in pixels, to which position embeddings are resampled; null
            for the architecture's own.
        projection: width of the features that the projection of an image tower of CLIP maps to, 512
            of ViT-B; null leaves it out, as other backbones have none.
        text_tower: open_clip's name of the CLIP whose image tower this is, for heads that start
            from texts; null where there is none.
        text_checkpoint: a file of that whole CLIP; null takes ``checkpoint``, or open_clip's hub
            where that is null too.
        antialias: whether position embeddings are smoothed where they are resampled to fewer
            patches, timm's way; false for weights that were trained or are served without.
        hub: repository of the Hugging Face hub that a text encoder's weights come from where there
            is no ``checkpoint``; null asks timm's hub.
        tokenizer: file or folder of a text encoder's tokenizer; null takes the one beside its
            weights.
    """

    name: str
    architecture: str
    checkpoint: str | None
    pretrained: bool
    drop_path: Share
    arguments: dict[str, Any]
    url: str | None
    image_size: ImageSize | None = None
    antialias: bool = True
    prepare: str | None = None
    hub: str | None = None
    tokenizer: str | None = None
    projection: Annotated[int, Limits(least=1, most=100_000)] | None = None
    text_tower: str | None = None
    text_checkpoint: str | None = None

    @property
    def remedy(self) -> str | None:
        """What to do where the weights are missing; None where nothing is known."""
        if self.prepare is not None:
            return f"run 'python scripts/prepare_weights.py {self.prepare} download=true'"
        return f"fetch {self.url} and set model.checkpoint=<file>" if self.url else None

    def __post_init__(self) -> None:
        super().__post_init__()
        _name("model.name", self.name)
        if self.image_size is not None:
            check_image_size(self.image_size, self.architecture, self.arguments)
        for key in ("checkpoint", "tokenizer"):
            file = getattr(self, key) or ""
            _require("\0" not in file, f"model.{key}", repr(file), "without a NUL")
        if self.checkpoint is not None and not self.pretrained:
            raise UserError(
                "model.checkpoint is set and model.pretrained is false: random weights have no "
                "checkpoint, so drop one of the two."
            )


@dataclass(frozen=True)
class RecipeConfig(_Group, key="dataset.recipe"):
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
class DatasetConfig(_Group, key="dataset"):
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
    source: str
    classes: Classes
    splits: SplitRoles
    sizes: dict[str, Images]
    metric: str
    recipe: RecipeConfig
    folder: str | None = None
    aliases: list[str] = field(default_factory=list)
    metrics: list[str] = field(default_factory=list)
    kind: str = "classification"
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
            _require(plain, f"dataset.{key}", name, "a plain name of letters, digits and _.+-")
        _name("dataset.group", self.group)
        splits = self.stored()
        # A sample takes the place of what a data set holds out.
        known = set(self.sizes)
        complete = known >= set(splits) if self.samples else known == set(splits)
        expected = f"a positive number for each of dataset.splits: {', '.join(splits)}"
        _require(complete, "dataset.sizes", self.sizes, expected)
        for version, values in self.versions.items():
            key = f"dataset.versions.{version}"
            _require(isinstance(values, dict), key, values, "a group of hyper-parameters")
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
        single = self.kind == "classification"
        if self.shots and not single and not (self.samples and self.task().has_classes):
            of_each = "has several of each" if self.task().has_classes else "has none"
            remedy = "dataset.sampling_seed=0" if self.task().has_classes else "dataset.train_size"
            raise UserError(
                f"dataset.shots={self.shots} is so many images a class, and a task of kind "
                f"{self.kind} {of_each}: use {remedy}."
            )
        there = self.sizes[self.splits.train]
        count = self.train_size or ((self.shots or 0) * self.classes if single else 0)
        if count > there:
            key, value = ("train_size", count) if self.train_size else ("shots", self.shots)
            raise UserError(
                f"dataset.{key}={value} is more than dataset {self.name} has: {there:,} training "
                f"images of {self.classes} classes."
            )
        if self.train_size and single and self.train_size < self.classes:
            raise UserError(
                f"dataset.train_size={self.train_size} is less than an image for each of the "
                f"{self.classes} classes of dataset {self.name}."
            )

    def task(self, label_smoothing: float = 0.0) -> Task:
        """Build the task: see :func:`hydra_peft.tasks.build_task`."""
        metrics = [self.metric, *self.metrics]
        return build_task(
            self.kind, outputs=self.classes, metrics=metrics, label_smoothing=label_smoothing
        )


@dataclass(frozen=True)
class DataConfig:
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

    cache: str
    normalization: str
    allow_partial: bool
    augment: str = "none"
    augment_options: dict[str, Any] = field(default_factory=dict)
    max_length: Annotated[int, Limits(least=8, most=100_000)] | None = None
    hub: bool = False
    crop: str = "task"

    def __post_init__(self) -> None:
        # yaml's true comes as "True"
        object.__setattr__(self, "crop", self.crop.lower())
        _one_of("data.crop", self.crop, CROPS)
        _one_of("data.cache", self.cache, CACHES)
        _one_of("data.normalization", self.normalization, NORMALIZATIONS)
        augmentation_class(self.augment)

    def crops(self, dataset: DatasetConfig) -> bool:
        """Whether the middle of each image of ``dataset`` is taken."""
        return dataset.crop if self.crop == "task" else self.crop == "true"

    def augmentation(self) -> Augmentation:
        """Build what changes training images."""
        return augmentation_class(self.augment)(**self.augment_options)


@dataclass(frozen=True)
class FillsConfig(_Group, key="protocol.fills"):
    """``protocol.fills``: what a protocol decides for other groups, which point here.

    Attributes:
        recipe: which of the task's recipe versions holds.
        init: of down-projections (``method.init``).
        drop_path: stochastic depth rate (``model.drop_path``).
        drop_last: whether smaller last batches are left out (``train.drop_last``).
        normalization: of images (``data.normalization``).
        schedule: ``scheduler.name`` of ``scheduler=by_protocol``; ``period_epochs`` and ``min_lr``
            likewise.
        precision: of computing (``precision``); configs of older code have it there alone.
        eval_after: of ``train``.
        clip_grad: largest norm of the gradient (``train.clip_grad``); null does not clip.
        decay: what ``optimizer.weight_decay`` acts on (``optimizer.decay``).
        warmup_ratio: share of all steps that the warm-up takes (``scheduler.warmup_ratio``).
        warmup_lr: learning rate at the first step (``scheduler.warmup_lr``).
    """

    recipe: str
    init: str
    drop_path: Share
    drop_last: bool
    normalization: str
    schedule: str
    period_epochs: Epochs | None
    min_lr: EndRate
    precision: str = "fp32"
    eval_after: Epochs | None = None
    clip_grad: float | None = None
    decay: str = "all"
    warmup_ratio: Share = 0.0
    warmup_lr: EndRate = 1e-6


@dataclass(frozen=True)
class ProtocolConfig(_Group, key="protocol"):
    """``protocol``: what is trained on, what is scored, and which epoch counts.

    Attributes:
        name: goes into every record and table.
        train_split: the split that is trained on; ``conf`` points to a role of
            ``dataset.splits``.
        evaluate_split: the split that is scored; likewise.
        selection: ``last`` epoch, or the ``best`` of the evaluations on ``evaluate_split``.
        select_split: the split whose evaluations choose the epoch in the place of
            ``evaluate_split``, which is then scored once, at the end; null for none.
        evaluate_every: epochs between evaluations; null evaluates once, at the end.
        tune: choose out of ``grid`` on the held-out split (``val``) after training on ``fit``,
            then do the run with what was chosen.
        grid: what is tried: lists of values by dotted key of the config
            (:mod:`hydra_peft.config.grid`).
        fills: what other groups take from the protocol.
        search: ``grid`` tries every combination of ``grid``; ``optuna`` draws ``trials`` of them
            out of the ranges that its values span.
            ``elevater`` and ``elevater_released`` go through learning rates and weight decays
            (:mod:`hydra_peft.runs.coarse_to_fine`).
        trials: how many ``optuna`` tries.
        trial_epochs: epochs of what is tried; null takes the run's.
        trial_selection: which epoch of what is tried counts: the ``last``, or the ``best``.
        tune_seed: the seed of what is tried, by a method's own search too; null takes the run's
            own, so each seed chooses for itself. With a number one choice serves all seeds, and is
            searched for once.
    """

    name: str
    train_split: str
    evaluate_split: str
    selection: str
    evaluate_every: Epochs | None
    tune: bool
    grid: dict[str, Any]
    fills: FillsConfig
    search: str = "grid"
    trials: Annotated[int, Limits(least=1, most=100_000)] = 20
    tune_seed: Seed | None = None
    trial_epochs: Epochs | None = None
    trial_selection: str = "last"
    select_split: str | None = None

    @property
    def chosen_on(self) -> str:
        """The split that is scored after epochs, and chooses one where any is chosen."""
        return self.select_split or self.evaluate_split

    def __post_init__(self) -> None:
        super().__post_init__()
        _name("protocol.name", self.name)
        _one_of("protocol.selection", self.selection, SELECTIONS)
        _one_of("protocol.search", self.search, SEARCHES)
        _one_of("protocol.trial_selection", self.trial_selection, SELECTIONS)
        if self.selection == "best" and self.evaluate_every is None:
            raise UserError("protocol.selection=best needs protocol.evaluate_every: set it to 1.")
        if self.tune and self.selection != "last" and self.search != RELEASED:
            raise UserError(
                "protocol.tune=true scores the last epoch on the test set once, while "
                f"protocol.name={self.name} selects the best of several: use protocol=clean."
            )


@dataclass(frozen=True)
class TrainConfig(_Group, key="train"):
    """``train``: the loop.

    Attributes:
        epochs: passes over the training split; 0 scores the model as it starts.
        batch_size: images per step.
        drop_last: whether a last, smaller batch of an epoch is left out.
        clip_grad: largest norm of the gradient; null does not clip.
        label_smoothing: of the cross-entropy; off in the paper.
        compile: ``auto`` compiles the model's blocks where it pays, on CUDA; ``true``, ``false``.
        cuda_graph: replay the compiled blocks as CUDA graphs.
        profile: write where the time of a step goes into the run's folder.
        checkpoint_every: epochs between checkpoints to resume from; null writes one only when the
            run is interrupted.
        eval_after: epochs after which dropout is off and running statistics stand still, as in
            evaluation; null never. The released ELEVATER code has 1: it never calls train() again.
    """

    epochs: Annotated[int, Limits(least=0, most=1_000_000)]
    batch_size: BatchSize
    drop_last: bool
    clip_grad: Annotated[float, Limits(least=1e-9, most=1e6, logarithmic=True)] | None
    label_smoothing: Share
    compile: str = "auto"
    cuda_graph: bool = False
    profile: bool = False
    checkpoint_every: Epochs | None = 10
    eval_after: Epochs | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        # yaml's true comes as "True"
        object.__setattr__(self, "compile", self.compile.lower())
        _one_of("train.compile", self.compile, COMPILE)
        if self.cuda_graph and self.compile == "false":
            raise UserError(
                "train.cuda_graph=true replays compiled blocks, but train.compile=false: set "
                "train.compile=true, or train.cuda_graph=false."
            )


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
class SaveConfig(_Group, key="save"):
    """``save``: what a run keeps beside its record and what it trained.

    Attributes:
        predictions: what the model says of each example of the scored splits: ``true``, ``false``,
            or ``auto``, of splits of up to 50,000 examples.
    """

    predictions: str = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        # yaml's true comes as "True"
        object.__setattr__(self, "predictions", self.predictions.lower())
        _one_of("save.predictions", self.predictions, PREDICTIONS)


@dataclass(frozen=True)
class LauncherConfig(_Group, key="launcher"):
    """``launcher``: what ``hydra/launcher=local`` makes of this machine.

    Attributes:
        gpus: ``all``, or a list of those that this process sees: ``[0,2]``.
        jobs_per_gpu: jobs that share a GPU.
        cpu_slots: jobs at a time where the device is the CPU; ``auto`` is half the cores.
    """

    gpus: Any = "all"
    jobs_per_gpu: Annotated[int, Limits(least=1, most=MAX_SLOTS)] = 1
    cpu_slots: Any = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        gpus = [self.gpus] if _is_count(self.gpus, 0) else self.gpus
        listed = isinstance(gpus, list) and bool(gpus) and all(_is_count(gpu, 0) for gpu in gpus)
        distinct = listed and len(set(gpus)) == len(gpus)
        expected = "all or a list of different GPUs, such as [0,2]"
        _require(gpus == "all" or distinct, "launcher.gpus", gpus, expected)
        object.__setattr__(self, "gpus", gpus if gpus == "all" else tuple(gpus))
        counted = self.cpu_slots == "auto" or _is_count(self.cpu_slots, 1)
        expected = f"auto or a positive whole number up to {MAX_SLOTS}"
        _require(counted, "launcher.cpu_slots", self.cpu_slots, expected)


def _is_count(value: object, least: int) -> bool:
    return isinstance(value, int) and Limits(least=least, most=MAX_SLOTS).admit(value)


@dataclass(frozen=True)
class InitFrom:
    """``init_from``: the run whose trained adapter is started from, and what is known of it.

    One types its folder; the rest is read from there before the run has its identity, so that
    nobody who has the run needs the folder.

    Attributes:
        folder: of that run.
        config_id: of that run.
        adapter: sha256 of the file with its adapter.
        task: benchmark and name of its task.
        settings: hash of its settings, which runs with other seeds and tasks share.
    """

    folder: str
    config_id: str
    adapter: str
    task: str
    settings: str


@dataclass(frozen=True)
class RunConfig(_Group):
    """Everything about one run, typed and checked.

    Attributes:
        settings: the science apart from task and seed, as configured: a value that comes from the
            task's recipe stands as the reference to it. Runs with equal settings make one table
            row, although the recipe gives each task its own learning rate.
        init_from: the run whose adapter is started from; None starts from a fresh one.
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
    device: str
    precision: str
    settings: dict[str, Any]
    launcher: LauncherConfig = field(default_factory=LauncherConfig)
    save: SaveConfig = field(default_factory=SaveConfig)
    head: Head = field(default_factory=Linear)
    init_from: InitFrom | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(start := vars(self)["init_from"], dict):  # as plain values have it
            object.__setattr__(self, "init_from", InitFrom(**start))
        _one_of("device", self.device, DEVICES)
        _one_of("precision", self.precision, PRECISIONS)
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
                f"head={self.head.name} starts from features of texts, and model={model.name} has "
                "no text tower: take a CLIP, such as model=clip_vit_base_patch32, or another head."
            )
        if not model.pretrained:
            raise UserError(
                f"head={self.head.name} starts from features of texts, which mean nothing to the "
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
