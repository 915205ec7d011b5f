"""MLflow: a run on a tracking server, or in a file of SQLite."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from hydra_peft.trackers._base import Session, Start, Tracker

if TYPE_CHECKING:
    from hydra_peft.runs.record import Record

#: what a run's status is in MLflow
STATUS = {"completed": "FINISHED", "interrupted": "KILLED"}
#: parameters in one request, and characters of one, as far as all servers take them
BATCH, LONGEST = 100, 500
_MISSING = "RESOURCE_DOES_NOT_EXIST"


@dataclass(frozen=True)
class MLflow(Tracker):
    """A run of MLflow for each run: parameters are the whole config, steps are epochs.

    Attributes:
        uri: of the tracking server or store, such as ``http://host:5000`` or
            ``sqlite:////folder/mlflow.db``.
        experiment: its name; made where there is none.
    """

    name: ClassVar[str] = "mlflow"
    package: ClassVar[str] = "mlflow"
    extra: ClassVar[str] = "mlflow"

    uri: str
    experiment: str = "hydra_peft"

    def begin(self, start: Start) -> Session:
        """Begin a run of MLflow, or go on with that of the run's earlier part."""
        client, id = self._client(), start.known
        if id is None or not _goes_on(client, id):
            id = self._new_run(client, start)
        return _MLflowRun(client, id)

    def ended(self, record: Record, folder: Path, known: str | None) -> None:  # noqa: ARG002
        """Let the run, which MLflow would take for one that goes on, end."""
        if known is not None:
            self._client().set_terminated(known, STATUS.get(record.status, "FAILED"))

    def _client(self) -> Any:
        from mlflow import MlflowClient

        return MlflowClient(tracking_uri=self.uri)

    def _new_run(self, client: Any, start: Start) -> str:
        from mlflow.entities import Param

        record = start.record
        tags = {
            "config_id": record.config_id,
            "benchmark": record.benchmark,
            "task": record.task,
            "method": record.method_label,
            "protocol": record.protocol,
            "seed": str(record.seed),
            "trial": str(start.trial).lower(),
        }
        run = client.create_run(self._experiment_id(client), run_name=start.title, tags=tags)
        id: str = run.info.run_id
        params = [Param(key, value[:LONGEST]) for key, value in _flat(start.config)]
        for first in range(0, len(params), BATCH):
            client.log_batch(id, params=params[first : first + BATCH])
        return id

    def _experiment_id(self, client: Any) -> str:
        if (found := client.get_experiment_by_name(self.experiment)) is None:
            try:
                return str(client.create_experiment(self.experiment))
            except Exception:  # another run of the sweep has just made it
                if (found := client.get_experiment_by_name(self.experiment)) is None:
                    raise
        return str(found.experiment_id)


class _MLflowRun(Session):
    def __init__(self, client: Any, id: str) -> None:
        self.id = id
        self._client = client

    def values(self, values: Mapping[str, float], epoch: int) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, epoch) for name, value in values.items()]
        self._client.log_batch(self.id, metrics=metrics)

    def end(self, record: Record) -> None:
        from hydra_peft.runs.hparams import results

        if found := results(record):
            self.values(found, int(record.selection.get("epoch", 0)))
        self._client.set_terminated(self.id, STATUS.get(record.status, "FAILED"))

    def abandon(self) -> None:
        self._client.set_terminated(self.id, "FAILED")


def _goes_on(client: Any, id: str) -> bool:
    """Set the run ``id`` to running again; False where the server does not know it."""
    from mlflow.exceptions import MlflowException

    try:
        client.update_run(id, status="RUNNING")
    except MlflowException as error:
        if error.error_code != _MISSING:
            raise
        return False
    return True


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value)


TRACKER = MLflow
