"""One run from a checked config to a record."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from hydra_peft.adaptation.parameters import count_parameters
from hydra_peft.adaptation.peft_loading import take_peft
from hydra_peft.adaptation.storage import take_adapter
from hydra_peft.config.identity import config_id
from hydra_peft.config.plain import as_configured
from hydra_peft.config.schema import RunConfig
from hydra_peft.config.text import to_yaml
from hydra_peft.data.split import Split
from hydra_peft.runs import environment
from hydra_peft.runs.assembly import AdaptedModel, build_model, load_backbone
from hydra_peft.runs.checkpoints import Checkpoints
from hydra_peft.runs.claims import Held, claim
from hydra_peft.runs.class_vectors import start_head
from hydra_peft.runs.ending import Ending
from hydra_peft.runs.existing import folder_of
from hydra_peft.runs.expectations import tell_expectations
from hydra_peft.runs.feed import choose_feed
from hydra_peft.runs.folder import TUNING, completed_record, set_aside
from hydra_peft.runs.ledger import Ledger
from hydra_peft.runs.new_record import new_record
from hydra_peft.runs.on_device import on_device
from hydra_peft.runs.outcome import Outcome, existing_outcome
from hydra_peft.runs.peft_start import PEFT
from hydra_peft.runs.record import Record
from hydra_peft.runs.resumption import carry_over, is_unfinished, origin_of, pick_up
from hydra_peft.runs.scoring import check_metrics
from hydra_peft.runs.shared import Shared
from hydra_peft.runs.starting import check_start
from hydra_peft.runs.state import TrainingState
from hydra_peft.runs.text_features import tensor_sha256, text_features
from hydra_peft.runs.together import broadcast_outcome, check_no_batch_norm, check_together
from hydra_peft.runs.tracking import Tracking
from hydra_peft.runs.training import Training
from hydra_peft.runs.writer import RunWriter
from hydra_peft.trackers import Start
from hydra_peft.training.allocation import keep_freed_memory
from hydra_peft.training.batches import Feed
from hydra_peft.training.devices import resolve_device
from hydra_peft.training.distributed import World, current
from hydra_peft.training.interrupts import Interrupts
from hydra_peft.training.passes import compute_alone

log = logging.getLogger("hydra_peft")


def run(
    config: RunConfig, tuning: dict[str, object] | None = None, *, shared: Shared | None = None
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
        tuning: what the record says of how hyper-parameters were chosen.
        shared: of a search, whose runs read their data once, or of a pack.

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
    config = on_device(config)
    world = current()
    check_together(config, world)
    backbone, weights = world.main_first(lambda: load_backbone(config.model, config.seed))
    world.check_same("command", config_id(config))
    world.check_same("weights", weights.sha256)
    folder = folder_of(config, weights)
    existing = _existing(config, folder, world)
    if existing is not None:
        return existing
    check_start(config, weights.sha256)
    with _claimed(config, folder, world) as held:
        existing = _existing(config, folder, world)  # done by somebody since we looked?
        if existing is not None:
            return existing
        device = world.local_device(resolve_device(config.device))
        record = new_record(
            config, weights, device=device, processes=world.size, tuning=tuning or {}
        )
        tracking = Tracking(config.logger if world.is_main else None)
        ledger = Ledger(record, folder, device, held, since, tracking)
        record = _Run(config, ledger, world, shared or Shared()).execute(backbone)
        outcome = broadcast_outcome(Outcome(record, folder), world)
    assert outcome is not None, "it was broadcast"
    return outcome


def _existing(config: RunConfig, folder: Path, world: World) -> Outcome | None:
    found = existing_outcome(config, folder) if world.is_main else None
    return broadcast_outcome(found, world)


def _claimed(config: RunConfig, folder: Path, world: World) -> AbstractContextManager[Held | None]:
    return claim(Path(config.paths.runs), folder) if world.is_main else contextlib.nullcontext()


class _Run:
    """One run in its folder: the order of events."""

    def __init__(self, config: RunConfig, ledger: Ledger, world: World, shared: Shared) -> None:
        self.config = config
        self.shared = shared
        self.config_yaml = to_yaml(as_configured(config))
        self.ledger = ledger
        self.world = world
        self.ending = Ending(ledger)

    def execute(self, backbone: nn.Module) -> Record:
        """Do the run; the record on disk says at any time how far it has come."""
        member = self.shared.member
        try:
            with Interrupts(member.is_stopped if member else lambda: False) as interrupts:
                return self.ending.of(lambda: self._results(backbone, interrupts))
        finally:
            self.ledger.tracking.abandon()  # of a run that ended without a record

    def _results(self, backbone: nn.Module, interrupts: Interrupts) -> dict[str, Any]:
        """Prepare, train and score; return the results as fields of a record."""
        config, ledger = self.config, self.ledger
        if self.shared.member is None:  # the others of a pack have the same peak
            environment.reset_peak_memory(ledger.device)
        if ledger.device.type == "cpu":
            keep_freed_memory()
        texts = self._texts(backbone)
        adapted = self._adapt(backbone)
        unfinished = bool(self.world.broadcast(is_unfinished(ledger.folder)))
        feed = self._feed(adapted)
        if not ledger.begun:
            set_aside(ledger.folder)  # only now that the new run can start
            ledger.begin(self.config_yaml)
        start_head(config, adapted.model, feed, texts, self.world)
        training = self._training(adapted.model, feed, interrupts)
        pick_up(training, ledger, unfinished=unfinished)
        self.ending.training = training
        interrupts.defer()
        with self._writer(training.state) as writer:
            if training.state.step:
                log.info("resumed after step %d of all", training.state.step)
            if writer is not None:
                ledger.tracking.begin(self._start(training.state))
            log.info("%d layers adapted: %s", len(adapted.layers), ", ".join(adapted.layers))
            results = training.execute(writer)
        if self.shared.member is not None and self.shared.member.together > 1:
            ledger.update(path={**ledger.record.path, "packed": self.shared.member.together})
        return results

    def _texts(self, backbone: nn.Module) -> Tensor | None:
        """Return what a head of texts starts from; the record says which features these are."""
        weights = str(self.ledger.record.weights["sha256"])
        texts = self.world.main_first(lambda: text_features(self.config, backbone, weights))
        if texts is not None:
            self.ledger.update(inputs={"text_features": tensor_sha256(texts)})
        return texts

    def _adapt(self, backbone: nn.Module) -> AdaptedModel:
        config = self.config
        adapted = build_model(
            backbone,
            config.method,
            head=config.head,
            classes=config.dataset.classes,
            seed=config.seed,
            device=self.ledger.device,
            normalization=config.data.normalization,
            max_length=config.data.max_length,
        )
        if config.init_from is not None:
            take = take_peft if config.init_from.config_id == PEFT else take_adapter
            take(adapted.model, Path(config.init_from.folder))
        check_no_batch_norm(adapted.model, config, self.world)
        self.ledger.update(inputs={**self.ledger.record.inputs, **adapted.inputs()})
        if self.world.is_main:
            tell_expectations(config, adapted.model, self.ledger.device)
        return adapted

    def _feed(self, adapted: AdaptedModel) -> Feed:
        """Load the data, choose how to compute; the record says what came of it."""
        config, ledger, world = self.config, self.ledger, self.world
        splits = world.main_first(lambda: self._splits(adapted))
        world.check_same("device", ledger.device.type)
        world.check_same("data", str(ledger.record.data["sha256"]))
        ledger.update(parameters=dataclasses.asdict(count_parameters(adapted.model)))
        feed = choose_feed(
            adapted,
            *splits,
            train=config.train,
            augmentation=config.data.augmentation(),
            device=ledger.device,
            precision=config.precision,
            once=functools.partial(self.shared.features, config),
        )
        check_metrics(config.task(), feed.scored)
        ledger.update(path=dict(feed.path))
        ledger.prepared()
        return feed

    def _splits(self, adapted: AdaptedModel) -> tuple[Split, dict[str, Split]]:
        ledger = self.ledger

        def described(description: dict[str, object]) -> None:
            ledger.update(data=description)
            # Decoding may take long: from here on every end leaves a trace. A completed run that
            # this one replaces stays where it is until the new one can start.
            if completed_record(ledger.folder) is None:
                carry_over(ledger)
                ledger.begin(self.config_yaml)

        return self.shared.splits(
            self.config,
            adapted.size,
            ledger.device,
            described=described,
            encoding=adapted.encoding,
        )

    def _training(self, model: nn.Module, feed: Feed, interrupts: Interrupts) -> Training:
        ledger = self.ledger
        checkpoints = None
        if self.world.is_main:
            checkpoints = Checkpoints(ledger.folder, origin_of(ledger.record))
        member = self.shared.member
        if member is not None:
            weights = str(ledger.record.weights["sha256"])
            member.begin((weights, repr(self.config.model), self.config.precision))
        return Training(
            self.config,
            model,
            feed,
            ledger,
            checkpoints,
            interrupts,
            self.world,
            compute_alone if member is None else member.compute,
        )

    def _writer(self, state: TrainingState) -> AbstractContextManager[RunWriter | None]:
        if not self.world.is_main:
            return contextlib.nullcontext()
        return RunWriter(
            self.ledger.folder,
            self._title(),
            state.steps * self.config.train.epochs,
            of=self.ledger.record.of,
            done=state.step,
            epochs=state.epochs,
            tracking=self.ledger.tracking,
        )

    def _start(self, state: TrainingState) -> Start:
        config, ledger = self.config, self.ledger
        return Start(
            folder=ledger.folder,
            title=self._title(),
            record=ledger.record,
            config=as_configured(config),
            config_yaml=self.config_yaml,
            epochs_done=len(state.epochs),
            resumed=state.step > 0,
            trial=Path(config.paths.runs).name == TUNING,
        )

    def _title(self) -> str:
        config = self.config
        return f"{config.dataset.name} {config.method.label} seed {config.seed}"
