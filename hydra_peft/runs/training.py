"""The part of a run that trains, scores, and can be picked up where it was left."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, closing
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from hydra_peft.adaptation.parameters import (
    adapter_state_dict,
    broken_tensor,
    trainable_parameters,
)
from hydra_peft.adaptation.storage import write_adapter
from hydra_peft.config.schema import RunConfig
from hydra_peft.cores import threads_are_given
from hydra_peft.errors import UserError
from hydra_peft.files import sha256_of
from hydra_peft.runs.checkpoints import Checkpoints
from hydra_peft.runs.folder import predictions_name
from hydra_peft.runs.kept_predictions import KEPT, fate
from hydra_peft.runs.ledger import Ledger
from hydra_peft.runs.scoring import Scoring
from hydra_peft.runs.state import TrainingState, is_number
from hydra_peft.runs.writer import RunWriter
from hydra_peft.tensor_files import write_tensors
from hydra_peft.training.batches import Feed, batch_count
from hydra_peft.training.distributed import World
from hydra_peft.training.evaluation import Score, evaluate
from hydra_peft.training.interrupts import Interrupts
from hydra_peft.training.loop import Recipe, train
from hydra_peft.training.passes import Compute, compute_alone
from hydra_peft.training.profiling import profiled
from hydra_peft.training.progress import DivergedError, EpochRecord, Progress, Step
from hydra_peft.training.threads import FOLLOWER, LoadFollower

log = logging.getLogger("hydra_peft")


class Training:
    """Trains a model, scores it as its protocol says, saves its adapter; checkpoints on the way.

    Args:
        config: of the run.
        model: adapted.
        feed: what is called with what.
        ledger: knows whether the folder may be written to.
        checkpoints: where the state goes; None in a process that writes nothing.
        interrupts: what may end training early.
        world: the processes that train together; all but the main one write nothing.
        compute: does the passes of its steps.
    """

    def __init__(
        self,
        config: RunConfig,
        model: nn.Module,
        feed: Feed,
        ledger: Ledger,
        checkpoints: Checkpoints | None,
        interrupts: Interrupts,
        world: World | None = None,
        compute: Compute = compute_alone,
    ) -> None:
        self.compute = compute
        self.config = config
        self.model = model
        self.feed = feed
        self.ledger = ledger
        self.checkpoints = checkpoints
        self.interrupts = interrupts
        self.world = world or World()
        self.task = config.task()
        size, batch = len(feed.train_split), config.train.batch_size
        self.drop_last = config.train.drop_last or 0 < size % batch < config.head.least_batch
        self.state = TrainingState(
            model=model,
            optimizer=_optimizer(config, model),
            progress=Progress(),
            epochs=[],
            scoring=Scoring(self.task, config.protocol, config.train.epochs),
            device=ledger.device,
            images=size,
            batch_size=batch,
            steps=batch_count(size, batch, self.drop_last),
        )

    def resume(self) -> bool:
        """Go to where the newest good checkpoint was written, if there is one."""
        found = None
        if self.checkpoints is not None:
            found = self.checkpoints.newest(self._check, self.state.max_bytes())
        tensors, facts = (None, None) if found is None else found[1:]
        facts = self.world.broadcast(facts)
        if facts is None:
            return False
        if self.world.size > 1:
            # Not read by each: its disk may be another one.
            tensors = load(self.world.broadcast_bytes(save(tensors or {})))
        assert tensors is not None, "found with its facts"
        if not self.state.load(tensors, facts, self.world):
            log.warning(
                "the checkpoint was written by another number of processes than the %d of now: "
                "dropout and drop-path draw other numbers from here on",
                self.world.size,
            )
        self.ledger.earlier_times = facts["times"]
        return True

    def remove_checkpoints(self) -> None:
        """Remove the run's checkpoints: it is complete, or starts anew."""
        if self.checkpoints is not None:
            self.checkpoints.remove()

    def execute(self, writer: RunWriter | None) -> dict[str, Any]:
        """Train to the end; return the results as fields of a record.

        Raises:
            DivergedError: the loss, or what was trained, stopped being finite.
            NotOurs: the folder may no longer be written to.
            BaseException: what the handler of a signal raises, after a checkpoint.
        """
        config, state = self.config, self.state
        with closing(self._steps()) as steps, self._threads() as threads:
            for step in steps:
                if isinstance(step, EpochRecord):
                    self._end_epoch(step, writer, threads)
                    continue
                if writer is not None:
                    writer.step()
                threads.look()
                if self._is_due(step):
                    self._save()
                self._let_be_interrupted()
            if not config.train.epochs:
                self._score_untrained(writer, threads)
        if threads.fewest < torch.get_num_threads():
            self.ledger.update(path={**self.ledger.record.path, "fewest_threads": threads.fewest})
        if config.protocol.selection != "last":
            state.scoring.restore(adapter_state_dict(self.model))
            self._save_adapter()
        scores = self._score_at_the_end(writer)
        results = state.scoring.results()
        return {
            **results,
            "scores": {**results["scores"], **scores},
            "training": {
                "loss": state.epochs[-1].loss,
                "accuracy": state.epochs[-1].train_accuracy,
            }
            if state.epochs
            else {},
        }

    def _steps(self) -> Generator[Step | EpochRecord, None, None]:
        config, state = self.config, self.state
        recipe = Recipe(
            epochs=config.train.epochs,
            batch_size=config.train.batch_size,
            drop_last=self.drop_last,
            learning_rate=config.scheduler.rates(config.optimizer.lr, config.train.epochs),
            clip_grad=config.train.clip_grad,
            precision=config.precision,
            seed=config.seed,
            eval_after=config.train.eval_after,
            accumulate=config.train.accumulate,
        )
        steps = train(
            self.model,
            self.task,
            self.feed,
            recipe,
            optimizer=state.optimizer,
            progress=state.progress,
            world=self.world,
            compute=self.compute,
        )
        if config.train.profile and self.world.is_main:
            return profiled(steps, self.ledger.folder, state.device)
        return steps

    def _end_epoch(
        self, record: EpochRecord, writer: RunWriter | None, threads: LoadFollower
    ) -> None:
        config, state = self.config, self.state
        self.ledger.may_write()
        state.epochs.append(record)
        if writer is not None:
            writer.epoch(record, config.train.epochs)
        if record.epoch == config.train.epochs:
            self._check_finite(record.epoch)
            if config.protocol.selection == "last":
                # Before scoring: if that fails, what was trained is not lost.
                self._save_adapter()
        if state.scoring.is_due(record.epoch):
            self._score_epoch(record.epoch, writer, threads, self._let_be_interrupted)

    def _score_untrained(self, writer: RunWriter | None, threads: LoadFollower) -> None:
        """Score the model as it starts, as epoch 0: a head that needs no training, or none yet."""
        self._save_adapter()
        # There is no state to go on from: what was done can be done again.
        self._score_epoch(0, writer, threads, self._let_be_stopped)

    def _score_epoch(
        self,
        epoch: int,
        writer: RunWriter | None,
        threads: LoadFollower,
        after_batch: Callable[[], None],
    ) -> None:
        split = self.config.protocol.chosen_on
        with threads.all():
            score = self._score(split, after_batch)
        self.state.scoring.add(epoch, score, lambda: adapter_state_dict(self.model))
        if writer is not None:
            writer.score(split, score.values, epoch)

    def _is_due(self, step: Step) -> bool:
        every = self.config.train.checkpoint_every
        return every is not None and step.ends_epoch and step.epoch % every == 0

    def _let_be_interrupted(self) -> None:
        """At a place where training can be left: leave it if a signal asks any process for it."""
        if not self.world.any(self.interrupts.pending):
            return
        try:
            self._save()
        except OSError as error:
            log.error("no checkpoint could be written: %s", error)
        self._deliver()

    def _let_be_stopped(self) -> None:
        """After training, where there is no state to go on from but that of the checkpoints."""
        if self.world.any(self.interrupts.pending):
            self._deliver()

    def _deliver(self) -> None:
        if self.world.size == 1:
            self.interrupts.deliver()
        else:
            self._deliver_together()

    def _deliver_together(self) -> None:
        """A handler that raises in one process ends all; one that returns lets all go on."""
        own: BaseException | None = None
        try:
            self.interrupts.deliver()
        except BaseException as error:
            own = error
        if self.world.any(own is not None):
            raise own or KeyboardInterrupt

    def _save(self) -> None:
        state = self.state
        if state.device.type == "cuda":
            torch.cuda.synchronize(state.device)  # what it has still to do is training's time
        with state.progress.paused():
            self.ledger.may_write()
            facts = {**state.facts(), "times": self.ledger.times()}
            tensors = state.tensors(self.world)  # of all processes' generators
            if self.checkpoints is not None:
                self.checkpoints.write(state.step, tensors, facts)

    def _score(self, split: str, after_batch: Callable[[], None]) -> Score:
        return evaluate(
            self.feed.module,
            self.task,
            self.feed.scored[split],
            prepare=self.feed.prepare,
            device=self.state.device,
            precision=self.config.precision,
            after_batch=after_batch,
            world=self.world,
        )

    def _score_at_the_end(self, writer: RunWriter | None) -> dict[str, dict[str, float]]:
        """Write what the selected epoch's model says of each example of all scored splits.

        Returns:
            The scores of the splits that select nothing, by split and metric.
        """
        assert self.state.scoring.kept is not None, "the last epoch is always evaluated"
        epoch, chosen = self.state.scoring.kept
        scores = {}
        for split in self.feed.scored:
            chooses = split == self.config.protocol.chosen_on
            score = chosen
            # Of an epoch before the run was taken up again there are no outputs.
            if not chooses or chosen.outputs is None:
                score = self._score(split, self._let_be_stopped)
            if split == self.config.protocol.evaluate_split:
                self.state.scoring.counted = score
            if not chooses:
                scores[split] = dict(score.values)
                if writer is not None:
                    writer.score(split, score.values, epoch)
            self._save_predictions(split, score)
        return scores

    def _save_predictions(self, split: str, score: Score) -> None:
        ledger = self.ledger
        ledger.may_write()
        becomes = fate(self.config.save.predictions, score.count)
        ledger.update(predictions={**ledger.record.predictions, split: becomes})
        if not self.world.is_main:
            return
        path = ledger.folder / predictions_name(split, self.config.protocol.evaluate_split)
        if becomes != KEPT:
            path.unlink(missing_ok=True)  # of a run that was taken up again
            return
        assert score.outputs is not None, "of a score of now"
        tensors = {"outputs": score.outputs, "targets": self.feed.scored[split].targets}
        write_tensors(path, tensors, {"split": split})
        ledger.update(outputs={**ledger.record.outputs, split: sha256_of(path)})

    def _save_adapter(self) -> None:
        self.ledger.may_write()
        if self.world.is_main:
            write_adapter(self.model, self.ledger.folder)

    def _check(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        self.state.check(tensors, facts)
        times = facts.get("times")
        phases = self.ledger.earlier_times.keys()
        if not isinstance(times, dict) or times.keys() != phases:
            raise UserError("it does not say how long the run took.")
        if not all(is_number(seconds) for seconds in times.values()):
            raise UserError("it holds times that cannot be.")

    def _check_finite(self, epoch: int) -> None:
        """The loss of the last step is finite; where what it led to is not, there is no score.

        Raises:
            DivergedError: a trained tensor is not finite.
        """
        if broken_tensor(self.model) is not None:
            raise DivergedError(epoch, self.state.steps, math.nan)

    def _threads(self) -> AbstractContextManager[LoadFollower]:
        # Of runs in turn in one process, each would set the number for all.
        alone = self.world.size == 1 and self.compute is compute_alone
        alone = alone and self.state.device.type == "cpu"
        return FOLLOWER.following(alone and not threads_are_given())


def _optimizer(config: RunConfig, model: nn.Module) -> torch.optim.Optimizer:
    return config.optimizer.build_for(model, list(trainable_parameters(model)))
