"""One run from a checked config to a record."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from hydra_peft.adaptation.injection import has_running_statistics
from hydra_peft.adaptation.parameters import count_parameters
from hydra_peft.backbones.backbones import Weights
from hydra_peft.config.identity import config_id, science, short_hash
from hydra_peft.config.schema import RunConfig
from hydra_peft.data.split import Split
from hydra_peft.disk_errors import may_pass
from hydra_peft.errors import UserError
from hydra_peft.runs import environment
from hydra_peft.runs.assembly import (
    AdaptedModel,
    build_model,
    check_batches,
    data_sha256,
    load_backbone,
    load_data,
)
from hydra_peft.runs.checkpoints import Checkpoints, Origin, checkpoints_exist
from hydra_peft.runs.claims import Held, claim
from hydra_peft.runs.existing import decide, folder_of
from hydra_peft.runs.feed import choose_feed
from hydra_peft.runs.first_look import data_request, splits_read
from hydra_peft.runs.folder import completed_record, set_aside
from hydra_peft.runs.ledger import Ledger, NotOurs
from hydra_peft.runs.record import FILE, Record, read_record, utc_now
from hydra_peft.runs.state import TrainingState
from hydra_peft.runs.training import Training
from hydra_peft.runs.writer import RunWriter
from hydra_peft.training.allocation import keep_freed_memory
from hydra_peft.training.batches import Feed
from hydra_peft.training.devices import resolve_device
from hydra_peft.training.distributed import World, current
from hydra_peft.training.interrupts import Interrupts
from hydra_peft.training.progress import DivergedError, EpochRecord

log = logging.getLogger("hydra_peft")


@dataclass(frozen=True)
class Outcome:
    """What became of a run: its record, its folder, and whether it had been done before."""

    record: Record
    folder: Path
    skipped: bool = False


def run(
    config: RunConfig,
    config_yaml: str,
    tuning: dict[str, object] | None = None,
) -> Outcome:
    """Do the run that ``config`` describes, resume it, or skip it if it has been done.

    A run that did not complete goes on from its newest good checkpoint: one of the same science,
    weights and data. On a CPU in float32 it then ends with the same bits as one that was never
    interrupted. ``sweep.on_existing=rerun`` does a completed one again. One that failed or diverged
    is taken as it is unless ``sweep.retry`` asks for it, also where somebody else has done it since
    it was planned.

    Args:
        config: checked; see ``check_model`` of :mod:`hydra_peft.runs.assembly` and
            ``check_data`` of :mod:`hydra_peft.runs.first_look`.
        config_yaml: the same, composed and resolved, for the run folder.
        tuning: what the record says of how hyper-parameters were chosen.

    Returns:
        The outcome; a run whose loss stopped being finite has status ``diverged``.

    Raises:
        UserError: something is missing or does not fit, or the run exists already and
            ``sweep.on_existing=error``.
        Claimed: another process is doing this very run.
        NotOurs: the run's folder was removed while it was going on, or (``TakenOver``) the run
            taken over by another process; nothing more is written then.
        KeyboardInterrupt, OSError, ...: as they come, after the record says so.
    """
    since = time.perf_counter()
    world = current()
    check_together(config, world)
    backbone, weights = world.in_turn(lambda: load_backbone(config.model, config.seed))
    world.check_same("command", config_id(config))
    world.check_same("weights", weights.sha256)
    folder = folder_of(config, weights)
    existing = existing_outcome(config, folder) if world.leads else None
    existing = _told(world, existing)
    if existing is not None:
        return existing
    claimed = claim(Path(config.paths.runs), folder) if world.leads else contextlib.nullcontext()
    with claimed as held:
        if world.leads:
            existing = existing_outcome(config, folder)  # done by somebody since we looked?
        existing = _told(world, existing)
        if existing is None:
            job = _Run(config, folder, weights, tuning or {}, held, since)
            existing = _told(world, Outcome(job.execute(backbone, config_yaml), folder))
        assert existing is not None, "it was told"
        return existing


def check_together(config: RunConfig, world: World) -> None:
    """Check that several processes can do the run that ``config`` describes.

    Raises:
        UserError: they cannot.
    """
    if world.size > config.train.batch_size:
        raise UserError(
            f"train.batch_size={config.train.batch_size} leaves nothing for some of {world.size} "
            "processes: it counts the images of all of them; set torchrun's --nproc-per-node lower."
        )


def _check_no_batch_norm(model: nn.Module, config: RunConfig, world: World) -> None:
    if world.size == 1 or not config.method.trains_backbone:
        return  # frozen statistics are the same in every share
    for name, module in model.named_modules():
        if has_running_statistics(module):
            raise UserError(
                f"{name} of {config.model.name} normalises over the batch, of which each of "
                f"{world.size} processes sees a share: train this model without torchrun."
            )


def _told(world: World, outcome: Outcome | None) -> Outcome | None:
    """Return the first process's outcome."""
    plain = None
    if outcome is not None:
        plain = {**dataclasses.asdict(outcome), "folder": str(outcome.folder)}
    said = world.tell(plain)
    if world.leads or said is None:
        return outcome
    return Outcome(Record(**said["record"]), Path(said["folder"]), said["skipped"])


def existing_outcome(config: RunConfig, folder: Path) -> Outcome | None:
    """Return the outcome of the run in ``folder`` if it is to be taken as it is.

    Raises:
        UserError: see :func:`hydra_peft.runs.existing.decide`.
    """
    existing = decide(config, folder, lambda: data_sha256(config))
    if existing.record is None or not existing.stays:
        return None
    return Outcome(existing.record, folder, skipped=True)


class _Run:
    """One run in its folder: what happens in which order, and what becomes of every way to end."""

    def __init__(
        self,
        config: RunConfig,
        folder: Path,
        weights: Weights,
        tuning: dict[str, object],
        held: Held | None,
        since: float,
    ) -> None:
        self.config = config
        self.folder = folder
        self.world = current()
        self.device = self.world.on(resolve_device(config.device))
        decides = science(config)
        record = Record(
            status="running",
            config_id=short_hash(decides),
            settings=config.settings,
            benchmark=config.dataset.benchmark,
            group=config.dataset.group,
            task=config.dataset.name,
            model=config.model.name,
            method=config.method.identity(),
            method_label=config.method.label,
            protocol=config.protocol.name,
            seed=config.seed,
            science=decides,
            started=utc_now(),
            hardware={**environment.hardware(self.device), "processes": self.world.size},
            versions=environment.versions(),
            code=environment.code_version(),
            weights=dataclasses.asdict(weights),
            tuning=tuning,
        )
        self.ledger = Ledger(record, folder, self.device, held, since)
        self._code_before: dict[str, object] = {}
        self.checkpoints: Checkpoints | None = None
        self.training: Training | None = None

    def execute(self, backbone: nn.Module, config_yaml: str) -> Record:
        """Do the run; the record on disk says at any time how far it has come."""
        with Interrupts() as interrupts:
            try:
                results = self._do(backbone, config_yaml, interrupts)
                record = self.ledger.finish("completed", self._epochs(), results=results)
                self._remove_checkpoints()
            except NotOurs:
                raise
            except DivergedError as error:
                record = self.ledger.finish("diverged", self._epochs(), error=f"{error}.")
                self._remove_checkpoints()
            except (KeyboardInterrupt, SystemExit, GeneratorExit) as error:
                sentence = self._interrupted()
                if isinstance(error, KeyboardInterrupt):
                    raise KeyboardInterrupt(sentence) from error
                raise
            except BaseException as error:
                self._failed(error)
                raise
            return record

    def _do(
        self, backbone: nn.Module, config_yaml: str, interrupts: Interrupts
    ) -> dict[str, object]:
        """Prepare, train and score; return the results as fields of a record."""
        config, ledger = self.config, self.ledger
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
        if adapted.size is not None:
            ledger.update(inputs={"image_size": list(adapted.size)})
        _check_no_batch_norm(adapted.model, config, self.world)
        unfinished = bool(self.world.tell(_unfinished(self.folder)))
        feed = self._prepare(adapted, config_yaml)
        if not ledger.begun:
            set_aside(self.folder)  # only now that the new run can start
            ledger.begin(config_yaml)
        training = self._pick_up(adapted.model, feed, interrupts, unfinished)
        interrupts.defer()
        with self._writer(training.state) as writer:
            if training.state.step:
                log.info("resumed after step %d of all", training.state.step)
            if writer is not None:
                writer.begin(ledger.record, config_yaml)
            log.info("%d layers adapted: %s", len(adapted.layers), ", ".join(adapted.layers))
            return training.execute(writer)

    def _prepare(self, adapted: AdaptedModel, config_yaml: str) -> Feed:
        """Load the data, decide how to compute; the record says what came of it."""
        config, ledger, world = self.config, self.ledger, self.world
        splits = world.in_turn(lambda: self._load_splits(adapted, config_yaml))
        world.check_same("device", self.device.type)
        world.check_same("data", str(ledger.record.data["sha256"]))
        ledger.update(parameters=dataclasses.asdict(count_parameters(adapted.model)))
        feed = choose_feed(
            adapted, *splits, train=config.train, device=self.device, precision=config.precision
        )
        ledger.update(path=dict(feed.path))
        ledger.prepared()
        return feed

    def _pick_up(
        self, model: nn.Module, feed: Feed, interrupts: Interrupts, unfinished: bool
    ) -> Training:
        """Return the training, at its newest good checkpoint or at its beginning."""
        ledger = self.ledger
        if self.world.leads:
            self.checkpoints = Checkpoints(self.folder, self._origin())
        training = Training(
            self.config, model, feed, ledger, self.checkpoints, interrupts, self.world
        )
        before = ledger.record.resumed
        if unfinished and training.resume():
            self._note_resumption(training.state)
        else:
            self._remove_checkpoints()
            ledger.update(resumed=[])
        self.training = training
        if ledger.record.resumed == before:
            ledger.may_write()
        else:
            ledger.write()
        return training

    def _load_splits(self, adapted: AdaptedModel, config_yaml: str) -> tuple[Split, Split]:
        config = self.config
        protocol = config.protocol

        def described(description: dict[str, object]) -> None:
            self.ledger.update(data=description)
            # Decoding may take long: from here on every end leaves a trace. A completed run that
            # this one replaces stays where it is until the new one can start.
            if completed_record(self.folder) is None:
                self._clear()
                self._carry_over()
                self.ledger.begin(config_yaml)

        request = data_request(config.dataset, config.paths, splits_read(protocol))
        data = load_data(
            config.dataset,
            config.data,
            request,
            adapted.size,
            wanted=(protocol.train_split, protocol.evaluate_split),
            described=described,
        )
        train_split = data.splits[protocol.train_split]
        check_batches(len(train_split), config.train.batch_size, config.train.drop_last)
        return train_split.in_memory(self.device), data.splits[protocol.evaluate_split]

    def _clear(self) -> None:
        """Set aside what nobody can tell what it is: a folder whose record is refused."""
        if not (self.world.leads and (self.folder / FILE).is_file()):
            return
        try:
            read_record(self.folder)
        except UserError as error:
            log.warning("%s It is kept in %s", error, set_aside(self.folder).name)

    def _carry_over(self) -> None:
        """Take from the record of the run's earlier parts what the new record goes on with."""
        with contextlib.suppress(UserError):
            earlier = read_record(self.folder)
            self._code_before = earlier.code
            self.ledger.update(resumed=earlier.resumed)

    def _origin(self) -> Origin:
        record = self.ledger.record
        return Origin(
            config_id=record.config_id,
            weights=str(record.weights["sha256"]),
            data=str(record.data["sha256"]),
            torch=".".join(torch.__version__.split(".")[:2]),
            chosen=record.tuning.get("chosen", {}),
        )

    def _note_resumption(self, state: TrainingState) -> None:
        epoch = state.progress.epoch + 1
        entry = {
            "at_step": state.step,
            "epoch": epoch,
            "when": utc_now(),
            "code": self._code_before,
        }
        if self._code_before != self.ledger.record.code:
            log.warning("other code than before the interruption goes on: the record names both")
        self.ledger.update(resumed=[*self.ledger.record.resumed, entry])

    def _writer(self, state: TrainingState) -> AbstractContextManager[RunWriter | None]:
        if not self.world.leads:
            return contextlib.nullcontext()
        config = self.config
        title = f"{config.dataset.name} {config.method.label} seed {config.seed}"
        total = state.steps * config.train.epochs
        return RunWriter(self.folder, title, total, done=state.step, epochs=state.epochs)

    def _epochs(self) -> list[EpochRecord]:
        return [] if self.training is None else self.training.state.epochs

    def _remove_checkpoints(self) -> None:
        if self.checkpoints is not None:
            self.checkpoints.remove()

    def _interrupted(self) -> str:
        """Write that the run was interrupted; return a sentence on what happens next."""
        where = "before training"
        if self.training is not None:
            progress = self.training.state.progress
            where = f"in epoch {progress.epoch + 1} after step {progress.step}"
        again = "resumes it" if checkpoints_exist(self.folder) else "starts it anew"
        sentence = f"interrupted {where}; typing the same command again {again}."
        self.ledger.finish_badly("interrupted", self._epochs(), sentence)
        return f"{sentence} What was complete before is kept."

    def _failed(self, error: BaseException) -> None:
        """Write that the run failed, unless it was a mistake that is found before training.

        Raises:
            NotOurs: it failed because its folder was removed.
        """
        if self.ledger.is_gone():
            raise self.ledger.gone() from error
        if isinstance(error, UserError) and self.training is None:
            self.ledger.undo()
        # Of a full disk as if somebody had stopped it: with room again, it goes on.
        status = "interrupted" if may_pass(error) else "failed"
        self.ledger.finish_badly(status, self._epochs(), f"{type(error).__name__}: {error}")


def _unfinished(folder: Path) -> bool:
    """Whether ``folder`` holds a run that did not complete."""
    return (folder / FILE).is_file() and completed_record(folder) is None
