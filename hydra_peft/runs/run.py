"""One run from a checked config to a record."""

from __future__ import annotations

import dataclasses
import logging
import math
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import torch
from torch import Tensor, nn

from hydra_peft.adaptation.injection import set_training_mode
from hydra_peft.adaptation.parameters import (
    adapter_state_dict,
    count_parameters,
    trainable_parameters,
)
from hydra_peft.adaptation.storage import save_adapter
from hydra_peft.config.identity import config_id, science
from hydra_peft.config.schema import RunConfig
from hydra_peft.data.sources import load_task
from hydra_peft.data.splits import ImageSplit
from hydra_peft.errors import UserError
from hydra_peft.files import atomic_write
from hydra_peft.models.backbones import Weights
from hydra_peft.runs import environment
from hydra_peft.runs.assembly import (
    AdaptedModel,
    build_model,
    check_batches,
    describe_data,
    load_backbone,
    load_data,
    splits_read,
    task_of,
)
from hydra_peft.runs.folder import CONFIG, completed_record, run_folder, set_aside
from hydra_peft.runs.record import Record, write_record
from hydra_peft.runs.scoring import Scoring
from hydra_peft.runs.writer import RunWriter
from hydra_peft.training.allocation import keep_freed_memory
from hydra_peft.training.batches import Prepare, batch_count, to_device
from hydra_peft.training.compiling import compile_blocks, pays
from hydra_peft.training.devices import resolve_device
from hydra_peft.training.evaluation import evaluate
from hydra_peft.training.features import chosen_rows, head_alone, head_inputs
from hydra_peft.training.loop import DivergedError, EpochRecord, train
from hydra_peft.training.optimizer import build_adamw
from hydra_peft.training.profiling import StepProfiler
from hydra_peft.training.schedule import build_schedule
from hydra_peft.training.seeding import derive_seed, generator, seed_everything

log = logging.getLogger("hydra_peft")


@dataclass(frozen=True)
class Outcome:
    """What became of a run: its record, its folder, and whether it had been done before."""

    record: Record
    folder: Path
    skipped: bool = False


def run(config: RunConfig, config_yaml: str, tuning: dict[str, object] | None = None) -> Outcome:
    """Do the run that ``config`` describes, or skip it if it has been done.

    Args:
        config: checked; see ``check_model`` and ``check_data`` of
            :mod:`hydra_peft.runs.assembly`.
        config_yaml: the same, composed and resolved, for the run folder.
        tuning: what the record says of how hyper-parameters were chosen.

    Returns:
        The outcome; a run whose loss stopped being finite has status ``diverged``.

    Raises:
        UserError: something is missing or does not fit, or the run exists already and
            ``sweep.on_existing=error``.
        KeyboardInterrupt, OSError, ...: as they come, after the record says so.
    """
    backbone, weights = load_backbone(config.model, config.seed)
    existing = existing_outcome(config, weights)
    if existing is not None:
        return existing
    folder = folder_of(config, weights)
    return Outcome(
        _Run(config, folder, weights, tuning or {}).execute(backbone, config_yaml), folder
    )


def existing_outcome(config: RunConfig, weights: Weights) -> Outcome | None:
    """Return the outcome of this very run if it is complete and may be taken as it is.

    Raises:
        UserError: it exists and ``sweep.on_existing=error``, or it was made on other data.
    """
    folder = folder_of(config, weights)
    existing = completed_record(folder)
    if existing is None or config.sweep.on_existing == "rerun":
        return None
    if config.sweep.on_existing == "error":
        raise UserError(f"{folder} holds this very run already (sweep.on_existing=error).")
    check_same_data(existing, folder, data_sha256(config))
    return Outcome(existing, folder, skipped=True)


def folder_of(config: RunConfig, weights: Weights) -> Path:
    """Return the folder of the run that ``config`` describes, on these weights."""
    return run_folder(
        Path(config.paths.runs),
        benchmark=config.dataset.benchmark,
        task=config.dataset.name,
        method=config.method.label.replace(" ", "-"),
        seed=config.seed,
        id=config_id(config),
        weights=weights.sha256,
    )


def data_sha256(config: RunConfig) -> str:
    """Return the hash of the data that the run and its tuning would read now.

    Raises:
        UserError: data that is missing, damaged, or not what the yaml promises.
    """
    task = task_of(config.dataset, config.paths, splits_read(config.protocol))
    loaded = load_task(config.dataset.source, task)
    return str(describe_data(config.dataset, config.data, loaded)["sha256"])


def check_same_data(existing: Record, folder: Path, now: str) -> None:
    """Check that the run in ``folder`` was made on the data with hash ``now``.

    Raises:
        UserError: it was not.
    """
    if existing.data.get("sha256") != now:
        raise UserError(
            f"{folder} holds this run on other data (sha256 "
            f"{str(existing.data.get('sha256'))[:12]}) than there is now ({now[:12]}): set "
            "sweep.on_existing=rerun or another paths.runs."
        )


@dataclass(frozen=True)
class _Feed:
    """What is called in each step, and what with: all of the model, or its head on features."""

    module: nn.Module
    train_split: ImageSplit
    evaluate_split: ImageSplit
    prepare: Prepare


class _Run:
    """The state of one run: a record that fills up, and clocks."""

    def __init__(
        self, config: RunConfig, folder: Path, weights: Weights, tuning: dict[str, object]
    ) -> None:
        self.config = config
        self.folder = folder
        self.device = resolve_device(config.device)
        self.epochs: list[EpochRecord] = []
        self.record = Record(
            status="running",
            config_id=config_id(config),
            settings=config.settings,
            benchmark=config.dataset.benchmark,
            group=config.dataset.group,
            task=config.dataset.name,
            model=config.model.name,
            method=config.method.identity(),
            method_label=config.method.label,
            protocol=config.protocol.name,
            seed=config.seed,
            science=science(config),
            started=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            hardware=environment.hardware(self.device),
            versions=environment.versions(),
            code=environment.code_version(),
            weights=dataclasses.asdict(weights),
            tuning=tuning,
        )

    def execute(self, backbone: nn.Module, config_yaml: str) -> Record:
        """Do the run; the record on disk says at any time how far it has come."""
        config, begun = self.config, time.perf_counter()
        environment.reset_peak_memory(self.device)
        if self.device.type == "cpu":
            keep_freed_memory()
        adapted = build_model(
            backbone,
            config.method,
            classes=config.dataset.classes,
            seed=config.seed,
            device=self.device,
            normalization=config.data.normalization,
        )
        train_split, evaluate_split = self._load_splits(adapted)
        counts = count_parameters(adapted.model)
        self._update(parameters=dataclasses.asdict(counts))
        steps = batch_count(len(train_split), config.train.batch_size, config.train.drop_last)
        title = f"{config.dataset.name} {config.method.label} seed {config.seed}"
        prepared = time.perf_counter()
        if completed_record(self.folder) is not None:
            set_aside(self.folder)  # only now that the new run can start
        with RunWriter(self.folder, title, steps * config.train.epochs) as writer:
            try:
                atomic_write(self.folder / CONFIG, config_yaml.encode())
                write_record(self.record, self.folder)
                writer.text("config", config_yaml)
                log.info("%d layers adapted: %s", len(adapted.layers), ", ".join(adapted.layers))
                metrics = self._train(adapted, train_split, evaluate_split, writer)
                trained = time.perf_counter()
            except DivergedError as error:
                return self._finish("diverged", begun, error=f"{error}.")
            except KeyboardInterrupt:
                self._finish("interrupted", begun, error="interrupted by the user.")
                raise
            except BaseException as error:
                self._finish_on_a_failing_disk(begun, f"{type(error).__name__}: {error}")
                raise
            times = {"prepare": prepared - begun, "train_and_evaluate": trained - prepared}
            return self._finish("completed", begun, metrics=metrics, times=times)

    def _load_splits(self, adapted: AdaptedModel) -> tuple[ImageSplit, ImageSplit]:
        config = self.config
        protocol = config.protocol
        task = task_of(config.dataset, config.paths, splits_read(protocol))
        wanted = (protocol.train_split, protocol.evaluate_split)
        data = load_data(config.dataset, config.data, task, adapted.size, wanted=wanted)
        self._update(data=data.description)
        train_split = data.splits[protocol.train_split]
        check_batches(len(train_split), config.train.batch_size, config.train.drop_last)
        return to_device(train_split, self.device), data.splits[protocol.evaluate_split]

    def _train(
        self,
        adapted: AdaptedModel,
        train_split: ImageSplit,
        evaluate_split: ImageSplit,
        writer: RunWriter,
    ) -> dict[str, object]:
        config, model = self.config, adapted.model
        feed = self._feed(adapted, train_split, evaluate_split)
        scoring = Scoring(config.protocol, config.train.epochs)
        last_counts = config.protocol.selection == "last"
        trained = trainable_parameters(model)
        optimizer = build_adamw(
            [*trained.adapter.values(), *trained.head.values()],
            lr=config.optimizer.lr,
            weight_decay=config.optimizer.weight_decay,
            betas=config.optimizer.betas,
            eps=config.optimizer.eps,
        )

        def after_epoch(record: EpochRecord) -> None:
            self.epochs.append(record)
            writer.epoch(record, config.train.epochs)
            if record.epoch == config.train.epochs:
                _check_finite(model, record.epoch)
                if last_counts:
                    # Before scoring: if that fails, what was trained is not lost.
                    save_adapter(model, self.folder)
            if scoring.is_due(record.epoch):
                score = evaluate(
                    feed.module,
                    feed.evaluate_split,
                    prepare=feed.prepare,
                    device=self.device,
                    precision=config.precision,
                )
                scoring.add(record.epoch, score, adapter_state_dict(model))
                writer.score(config.protocol.evaluate_split, score.accuracy, record.epoch)

        # Dropout and drop-path draw from the global generator.
        seed_everything(derive_seed(config.seed, "training"))
        with self._profiler() as profiler:

            def after_step(_loss: Tensor) -> None:
                writer.step()
                if profiler is not None:
                    profiler.step()

            train(
                feed.module,
                feed.train_split,
                epochs=config.train.epochs,
                batch_size=config.train.batch_size,
                drop_last=config.train.drop_last,
                clip_grad=config.train.clip_grad,
                label_smoothing=config.train.label_smoothing,
                optimizer=optimizer,
                learning_rate=build_schedule(
                    config.scheduler.name,
                    epochs=config.train.epochs,
                    lr=config.optimizer.lr,
                    warmup_epochs=config.scheduler.warmup_epochs,
                    warmup_lr=config.scheduler.warmup_lr,
                    min_lr=config.scheduler.min_lr,
                    period_epochs=config.scheduler.period_epochs,
                ),
                prepare=feed.prepare,
                order=generator(config.seed, "batches"),
                device=self.device,
                precision=config.precision,
                before_epoch=lambda: set_training_mode(model),
                after_step=after_step,
                after_epoch=after_epoch,
            )
        if not last_counts:
            scoring.restore(adapter_state_dict(model))
            save_adapter(model, self.folder)
        return {
            **scoring.metrics(),
            "train_loss": self.epochs[-1].loss,
            "train_accuracy": self.epochs[-1].train_accuracy,
        }

    def _feed(
        self, adapted: AdaptedModel, train_split: ImageSplit, evaluate_split: ImageSplit
    ) -> _Feed:
        """Choose the fastest way to the same result, and take down which it is."""
        config, model = self.config.train, adapted.model
        head = head_alone(model)
        compiled = None
        if head is not None:
            train_split, evaluate_split = (
                head_inputs(
                    model,
                    head,
                    split,
                    prepare=adapted.normalize,
                    device=self.device,
                    precision=self.config.precision,
                )
                for split in (train_split, evaluate_split)
            )
        elif config.compile == "true" or (config.compile == "auto" and pays(self.device)):
            compiled = compile_blocks(model, cuda_graph=config.cuda_graph)
        self._update(
            path={
                "features": "computed once" if head is not None else "computed in each step",
                "compiled": compiled,
                "cuda_graph": compiled is not None and config.cuda_graph,
            }
        )
        if head is not None:
            return _Feed(head, train_split, evaluate_split, chosen_rows)
        return _Feed(model, train_split, evaluate_split, adapted.normalize)

    def _profiler(self) -> AbstractContextManager[StepProfiler | None]:
        if self.config.train.profile:
            return StepProfiler(self.folder, self.device)
        return nullcontext()

    def _update(self, **changes: object) -> None:
        self.record = dataclasses.replace(self.record, **changes)  # type: ignore[arg-type]

    def _finish(
        self,
        status: str,
        begun: float,
        *,
        metrics: dict[str, object] | None = None,
        times: dict[str, float] | None = None,
        error: str | None = None,
    ) -> Record:
        seconds = sum(epoch.seconds for epoch in self.epochs)
        images = sum(epoch.seconds * epoch.images_per_second for epoch in self.epochs)
        self._update(
            status=status,
            metrics=metrics or {},
            times={**(times or {}), "train": seconds, "total": time.perf_counter() - begun},
            images_per_second=images / seconds if seconds else None,
            memory=environment.peak_memory(self.device),
            error=error,
        )
        write_record(self.record, self.folder)
        return self.record

    def _finish_on_a_failing_disk(self, begun: float, error: str) -> None:
        """Say that the run failed; if even that cannot be written, the first error stands."""
        try:
            self._finish("failed", begun, error=error)
        except OSError:
            log.error("the record of the failed run could not be written to %s", self.folder)


def _check_finite(model: nn.Module, epoch: int) -> None:
    """The loss of the last step is finite; where what it led to is not, there is no score.

    Raises:
        DivergedError: a trained tensor is not finite.
    """
    if not all(bool(torch.isfinite(tensor).all()) for tensor in adapter_state_dict(model).values()):
        raise DivergedError(epoch, math.nan)
