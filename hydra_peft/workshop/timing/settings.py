"""Settings of each suite of ``scripts/bench.py``: typed, and checked before torch is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from hydra_peft.errors import UserError, check_one_of
from hydra_peft.limits import Limits
from hydra_peft.listed import listed
from hydra_peft.methods import method_names

PRECISIONS = ("fp32", "bf16")
#: the suites that suite ``gpu`` consists of, in its order
GPU_PARTS = ("correctness", "layer", "step", "packed", "table4", "task", "table8")
#: the most are what nobody means: more images or pairs than any benchmark's, each a file that is
#: written first or a text that is made up
Images = Annotated[int, Limits(least=1, most=2_000_000)]
BatchSize = Annotated[int, Limits(least=1, most=100_000)]
#: height and width of an image: above those of any model in timm
Pixels = Annotated[int, Limits(least=1, most=4096)]
#: of runs or programs at once, which all have to be in memory
Processes = Annotated[int, Limits(least=1, most=1024)]
#: of epochs, rounds, steps, seconds: a million seconds are eleven days
Count = Annotated[int, Limits(least=1, most=1_000_000)]
AutoOr = Literal["auto", "true", "false"]


def check_precisions(asked: str) -> None:
    """Check that ``asked`` is ``auto``, or names precisions, separated by commas."""
    if asked != "auto" and not set(listed("precisions", asked)) <= set(PRECISIONS):
        raise UserError(
            f"precisions={asked} is not allowed: it must be auto, or names out of "
            f"{', '.join(PRECISIONS)}."
        )


@dataclass(frozen=True)
class DataSettings:
    """Settings of the data suite.

    Attributes:
        images: number of files; VTAB-1k trains on 1000.
        batch_size: images a batch.
        repeats: times each figure is taken; the median is reported.
    """

    images: Images = 1000
    batch_size: BatchSize = 16
    repeats: Count = 5


@dataclass(frozen=True)
class LayerSettings:
    """Settings of the layer suite.

    Attributes:
        batch_sizes: images of 197 tokens.
        precisions: ``auto`` is the device's fastest; or several of ``fp32``, ``bf16``.
        repeats: rounds; the median is reported.
        calls: passes in a row in each round; a GPU is waited for after them.
    """

    batch_sizes: tuple[BatchSize, ...] = (16, 64, 256)
    precisions: str = "auto"
    repeats: Count = 5
    calls: Count = 1

    def __post_init__(self) -> None:
        check_precisions(self.precisions)


@dataclass(frozen=True)
class StepSettings:
    """Settings of the step suite.

    Attributes:
        architecture: timm's name of the model.
        batch_sizes: images a step.
        precisions: ``auto`` is the device's fastest; or several of ``fp32``, ``bf16``.
        repeats: rounds; the median is reported.
        calls: steps in a row in each round; a GPU is waited for after them.
        compile: ``auto`` adds compiled models where it pays: on CUDA, in the fastest precision;
            ``true``, ``false``.
        memory: whether to measure peak memory, which on a CPU takes a process for each method.
        methods: ``table8`` takes its rows beside the peft library's; ``all``, or names of methods
            separated by commas, each with its default options.
    """

    architecture: str = "vit_base_patch16_224"
    batch_sizes: tuple[BatchSize, ...] = (16,)
    precisions: str = "auto"
    repeats: Count = 5
    calls: Count = 1
    compile: AutoOr = "auto"
    memory: bool = True
    methods: str = "table8"

    def __post_init__(self) -> None:
        check_precisions(self.precisions)
        if self.methods not in ("table8", "all"):
            for name in listed("methods", self.methods):
                check_one_of("methods", name, method_names(), "choose table8, all, or some of")


@dataclass(frozen=True)
class TaskSettings:
    """Settings of the task suite; VTAB-1k has 1000 images, some 10,000 test images and 100 epochs.

    Attributes:
        images: training images.
        test_images: test images.
        epochs: passes over the training images.
        evaluations: how often the plain loop scores the test set; ours does once.
        batch_size: images a step.
        architecture: timm's name of the model.
        pixels: height and width that images are resized to, which the model takes.
        plain_seconds: that the plain loop gets, half of them for training, at least an epoch of it,
            and half for scoring; what does not fit is predicted from what did.
    """

    images: Images = 16
    test_images: Images = 160
    epochs: Count = 10
    evaluations: Count = 10
    batch_size: BatchSize = 16
    architecture: str = "vit_base_patch16_224"
    pixels: Pixels = 224
    plain_seconds: Count = 24 * 3600


@dataclass(frozen=True)
class Table4Settings:
    """Settings of the table 4 suite.

    Attributes:
        architecture: timm's name of the model, with random weights.
        batch_size: images a step.
        images: of an epoch, CIFAR10's by default.
        epochs: epochs that are timed whole, of which the mean is reported.
        repeats: steps that are timed for a prediction, of which the median is used.
        timed: ``auto`` times whole epochs where there is CUDA and predicts elsewhere; ``true``,
            ``false``.
    """

    architecture: str = "vit_base_patch32_224"
    batch_size: BatchSize = 128
    images: Images = 50_000
    epochs: Count = 10
    repeats: Count = 5
    timed: AutoOr = "auto"


@dataclass(frozen=True)
class Table8Settings:
    """Settings of the table 8 suite.

    Attributes:
        architecture: timm's name of the model.
        epochs: passes over the 1000 images.
        batch_size: images a step.
        repeats: times each part is taken for a prediction; the median is used.
        timed: ``auto`` does whole runs where there is CUDA and predicts elsewhere; ``true``,
            ``false``.
        seconds: for whole runs; those that do not fit are predicted.
        pack: runs that share a step in the second half of the suite; 1 leaves that half out.
        alone: ``false`` does no whole run one after another, so that packs get all the time.
        divide: takes only this fraction of each number of images; for trying the suite out.
    """

    architecture: str = "vit_base_patch16_224"
    epochs: Count = 100
    batch_size: BatchSize = 64
    repeats: Count = 3
    timed: AutoOr = "auto"
    seconds: Count = 24 * 3600
    pack: Processes = 8
    alone: bool = True
    divide: Count = 1


@dataclass(frozen=True)
class MergeSettings:
    """Settings of the merge suite; a pass is short, so it takes more rounds than others.

    Attributes:
        architecture: timm's name of the model.
        batch_size: images a pass.
        repeats: rounds; the median is reported.
    """

    architecture: str = "vit_base_patch16_224"
    batch_size: BatchSize = 16
    repeats: Count = 9


@dataclass(frozen=True)
class AgreementSettings:
    """Settings of the agreement suite: ``vit_mini`` on task ``digits`` of benchmark ``mini``.

    Attributes:
        steps: training steps of 16 images, at least; the last epoch is finished.
        seeds: runs in bfloat16, of each form.
    """

    steps: Count = 200
    seeds: Count = 5


@dataclass(frozen=True)
class SlotsSettings:
    """Settings of the slots suite: runs of ``vit_mini`` on ``mini/digits`` that differ in their
    seed.

    Attributes:
        slots: how many are held against one.
        jobs: in each of both.
        epochs: of each job.
    """

    slots: Processes = 2
    jobs: Count = 12
    epochs: Count = 2


@dataclass(frozen=True)
class PackedSettings:
    """Settings of the packed suite: steps of lora, seqlora and hydra in turn.

    Attributes:
        architecture: timm's name of the model.
        batch_sizes: images of a step of each run.
        runs: how many share a step.
        precisions: ``auto`` is the device's fastest; or several of ``fp32``, ``bf16``.
        repeats: rounds; the median is reported.
        calls: steps in a row in each round; a GPU is waited for after them.
    """

    architecture: str = "vit_base_patch16_224"
    batch_sizes: tuple[BatchSize, ...] = (16,)
    runs: tuple[Processes, ...] = (1, 2, 4, 8, 16)
    precisions: str = "auto"
    repeats: Count = 5
    calls: Count = 1

    def __post_init__(self) -> None:
        check_precisions(self.precisions)


@dataclass(frozen=True)
class BusySettings:
    """Settings of the busy suite: runs of ``vit_mini`` on ``mini/digits``, each a process of its
    own.

    Attributes:
        neighbours: programs that keep a core busy each.
        rounds: runs of each kind.
        slow_rounds: those of them in which a fixed number of threads runs beside others.
        epochs: of each run.
        seconds: after which a run that is not through is ended; its epochs so far count, and
            without any it has 0 images a second.
    """

    neighbours: Processes = 1
    rounds: Count = 10
    slow_rounds: Count = 3
    epochs: Count = 4
    seconds: Count = 90


@dataclass(frozen=True)
class GlueSettings:
    """Settings of the GLUE suite: pairs of texts as long as MNLI's, made up of mini_glue's words.

    Attributes:
        model: of ``conf/model``, a RoBERTa's shape, with random weights.
        layers: of the model at most; a step of the plain loop takes some 3 GB for each of
            RoBERTa-base's on a CPU, at batch 32.
        batch_size: pairs a step.
        steps: of ours in a round, whose mean is taken: batches differ in width.
        plain_steps: of the plain loop, whose batches are all of one width.
        repeats: rounds; the median is reported.
        pairs: that are tokenised, MNLI's number by default.
    """

    model: Literal["roberta_base", "roberta_large", "roberta_mini"] = "roberta_base"
    layers: Count = 2
    batch_size: BatchSize = 32
    steps: Count = 4
    plain_steps: Count = 1
    repeats: Count = 3
    pairs: Images = 390_000

    def __post_init__(self) -> None:
        if self.plain_steps > self.steps:
            raise UserError(
                f"plain_steps={self.plain_steps} is more than steps={self.steps}, which have the "
                "pairs: lower it."
            )


@dataclass(frozen=True)
class ElevaterSettings:
    """Settings of the few-shot suite: ELEVATER's search and final run, of Hydra, on one task.

    Attributes:
        classes, shots: of the training images, of which one a class is held out in trials.
        test_images: that the plain loop scores after each epoch of the final run, ours once.
        rates: learning rates of the search, with at most 15 weight decays each; the toolkit has 6.
        trial_epochs, epochs: of a trial and of the final run.
        batch_size: images a step.
        architecture: timm's name of the model, with random weights; both load it from one file.
        pixels: height and width that images are resized to, which the model takes.
        plain_trials: that the plain loop does at most; the time of others is predicted from them.
    """

    classes: Count = 10
    shots: Count = 5
    test_images: Images = 100
    rates: Count = 1
    trial_epochs: Count = 10
    epochs: Count = 50
    batch_size: BatchSize = 64
    architecture: str = "vit_mini"
    pixels: Pixels = 32
    plain_trials: Count = 90


@dataclass(frozen=True)
class CorrectnessSettings:
    """Settings of the correctness suite.

    Attributes:
        only: names of test files without ``.py``, or ``all`` that have tests for a GPU.
        marked: which tests of them, as pytest's ``-m`` takes it.
        seconds: that a file's tests get.
    """

    only: str = "all"
    marked: str = "gpu"
    seconds: Count = 600


@dataclass(frozen=True)
class GpuSettings:
    """Settings of the GPU suite.

    Attributes:
        parts: names out of :data:`GPU_PARTS`; they are done in its order.
        dry: whether to go through them with tiny sizes, on any device; figures then say nothing.
        minutes: that all of it may take.
    """

    parts: str = ",".join(GPU_PARTS)
    dry: bool = False
    minutes: Count = 8

    def __post_init__(self) -> None:
        for name in listed("parts", self.parts):
            check_one_of("parts", name, GPU_PARTS, "name some of")


#: class of each suite, in the order in which they are shown
SETTINGS: dict[str, type[Any]] = {
    "data": DataSettings,
    "layer": LayerSettings,
    "step": StepSettings,
    "task": TaskSettings,
    "table4": Table4Settings,
    "table8": Table8Settings,
    "merge": MergeSettings,
    "agreement": AgreementSettings,
    "slots": SlotsSettings,
    "packed": PackedSettings,
    "busy": BusySettings,
    "glue": GlueSettings,
    "elevater": ElevaterSettings,
    "correctness": CorrectnessSettings,
    "gpu": GpuSettings,
}
