"""The interface of a tracker: options that a config sets, and a session for each run."""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from hydra_peft.errors import UserError

if TYPE_CHECKING:
    from hydra_peft.runs.record import Record


@dataclass(frozen=True)
class Start:
    """How a run starts, or goes on.

    Attributes:
        folder: the run's; a tracker may write into it, and is told nothing once it may not.
        title: of the run, for people.
        record: status ``running``.
        config: plain values of everything that is set, by group and key.
        config_yaml: the same as the text of the run's ``config.yaml``.
        epochs_done: epochs that an earlier part of the run has told of; 0 of a new run.
        resumed: whether the run goes on where it was interrupted.
        known: of a run that goes on, the ``id`` of the session of its earlier part; else None.
        trial: whether the run is one of a search for hyper-parameters.
    """

    folder: Path
    title: str
    record: Record
    config: Mapping[str, Any]
    config_yaml: str
    epochs_done: int = 0
    resumed: bool = False
    known: str | None = None
    trial: bool = False

    def labels(self) -> list[str]:
        """Return benchmark, task, method and protocol, by which runs are told apart."""
        record = self.record
        labels = [record.benchmark, record.task, record.method_label, record.protocol]
        return [*labels, "trial"] if self.trial else labels


class Session(ABC):
    """What a tracker does for one run. Whatever it raises is logged, and the run goes on without.

    Attributes:
        id: what the tracker finds the run by when it is resumed; None if it needs nothing.
    """

    id: str | None = None

    @abstractmethod
    def values(self, values: Mapping[str, float], epoch: int) -> None:
        """Take values of ``epoch``, from 1 (0 of a model that is not trained), by name.

        Those of training are ``train/loss`` (mean of the epoch), ``train/lr``,
        ``train/images_per_second`` and, where examples are right or wrong,
        ``train/train_accuracy`` (percent); scores are ``<split>/<metric>``.
        """

    @abstractmethod
    def end(self, record: Record) -> None:
        """Take the record as it is at the end, whatever its status, and close."""

    def abandon(self) -> None:  # noqa: B027
        """Let go of a run that ends without a record, and whose folder others may write to."""


@dataclass(frozen=True)
class Tracker(ABC):
    """Shows how runs go. No part of a run's identity, and no reason for one to fail.

    A tracker is one module of :mod:`hydra_peft.trackers`, or of a plugin's, named as the tracker,
    which binds its class to ``TRACKER``, and ``conf/logger/<name>.yaml``, which has its options
    below its name. Options are the fields.
    """

    name: ClassVar[str]
    #: the package that it needs, and the extra of hydra-peft that brings it; empty without one
    package: ClassVar[str] = ""
    extra: ClassVar[str] = ""

    def check(self) -> None:
        """Check, before torch is loaded, that the package is installed.

        Raises:
            UserError: it is not.
        """
        if self.package and importlib.util.find_spec(self.package) is None:
            by = f"'hydra-peft[{self.extra}]'" if self.extra else self.package
            raise UserError(
                f"logger={self.name} needs the package {self.package}, which is not installed: "
                f"pip install {by}, or choose another, such as logger=csv."
            )

    @abstractmethod
    def begin(self, start: Start) -> Session:
        """Return a session for the run that starts or goes on."""

    def ended(self, record: Record, folder: Path, known: str | None) -> None:  # noqa: B027
        """Take the record of a run that ended without a session: its process died, or it came to
        no training.

        Args:
            record: the run's.
            folder: the run's.
            known: the ``id`` of an earlier session; None if it had none.
        """
