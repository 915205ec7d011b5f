"""The end of a run: completed, diverged, interrupted or failed, each written into its record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hydra_peft.disk_errors import disk_sentence, may_pass, takes_no_more
from hydra_peft.errors import UserError
from hydra_peft.memory_errors import let_go, memory_sentence, of_limit
from hydra_peft.runs.checkpoints import checkpoints_exist
from hydra_peft.runs.ledger import Ledger, NotOurs
from hydra_peft.runs.record import Record
from hydra_peft.runs.training import Training
from hydra_peft.training.progress import DivergedError, EpochRecord


class Ending:
    """Writes into a run's record how the run ended.

    Attributes:
        ledger: of the run.
        training: the run's training, once there is one.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.training: Training | None = None

    def of(self, work: Callable[[], dict[str, Any]]) -> Record:
        """Do ``work``, which returns results as fields of a record; return the record at its end.

        A loss that stopped being finite is a result too: status ``diverged``.

        Raises:
            NotOurs: the run's folder was removed or taken over; nothing was written.
            KeyboardInterrupt: it says what happens when the command is typed again.
            BaseException: of whatever else ended the run, after the record says so.
        """
        try:
            results = work()
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

    def _epochs(self) -> list[EpochRecord]:
        return [] if self.training is None else self.training.state.epochs

    def _remove_checkpoints(self) -> None:
        if self.training is not None:
            self.training.remove_checkpoints()

    def _interrupted(self) -> str:
        """Write that the run was interrupted; return a sentence on what happens next."""
        where = "before training"
        if self.training is not None:
            progress = self.training.state.progress
            where = f"in epoch {progress.epoch + 1} after step {progress.step}"
        again = "resumes it" if checkpoints_exist(self.ledger.folder) else "starts it anew"
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
        of_memory = memory_sentence(error)
        if of_memory is not None:  # for the record to be written, what was computed has to go
            let_go(error)
        # As if somebody had stopped it: with room again, or without the limit, it goes on.
        status = "interrupted" if may_pass(error) or of_limit(error) else "failed"
        said = of_memory or _of_disk(error) or f"{type(error).__name__}: {error}"
        self.ledger.finish_badly(status, self._epochs(), said)


def _of_disk(error: BaseException) -> str | None:
    """Return the sentence on a disk that takes no more, None of any other error."""
    return disk_sentence(error) if isinstance(error, OSError) and takes_no_more(error) else None
