"""Weights & Biases, online or offline; without a login or a network the run goes on alone."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from hydra_peft.limits import Words
from hydra_peft.trackers._base import Session, Start, Tracker

if TYPE_CHECKING:
    from hydra_peft.runs.record import Record

#: seconds that a run waits for W&B at its end; what is not sent by then ``wandb sync`` sends
WAITED = 120.0
#: characters of a tag
LONGEST_TAG = 64


@dataclass(frozen=True)
class WandB(Tracker):
    """A run of W&B for each run; its files are in the run's folder ``wandb``.

    Attributes:
        project: where it is shown.
        entity: the user or team; None is the one who is logged in.
        group: what runs are put together by; None is the benchmark.
        tags: beside benchmark, task, method and protocol.
        mode: ``online``, ``offline`` (``wandb sync`` sends it later), or ``auto``, as the
            environment variable ``WANDB_MODE`` says.
    """

    name: ClassVar[str] = "wandb"
    package: ClassVar[str] = "wandb"
    extra: ClassVar[str] = "wandb"

    project: str = "hydra_peft"
    entity: str | None = None
    group: str | None = None
    tags: list[str] = field(default_factory=list)
    mode: Annotated[str, Words("auto", "online", "offline")] = "auto"

    def begin(self, start: Start) -> Session:
        """Begin a run of W&B, or go on with that of the run's earlier part.

        Raises:
            RuntimeError: nobody is logged in, and it is not offline.
        """
        import wandb

        mode = wandb.setup().settings.mode if self.mode == "auto" else self.mode
        if mode == "online" and not wandb.login(prompt=False, verify=False):
            raise RuntimeError(
                "nobody is logged in to W&B: wandb login, or logger.wandb.mode=offline"
            )
        record = start.record
        id = start.known or secrets.token_hex(8)
        run = wandb.init(
            project=self.project,
            entity=self.entity,
            group=self.group or record.benchmark,
            job_type="trial" if start.trial else "run",
            name=start.title,
            tags=sorted({tag[:LONGEST_TAG] for tag in (*start.labels(), *self.tags)}),
            config={**start.config, "config_id": record.config_id},
            id=id,
            resume="allow" if start.known else None,
            # Beside runs of a pack that go on: W&B would give theirs.
            reinit="create_new",
            dir=str(start.folder),
            mode=mode,
            settings=wandb.Settings(console="off", silent=True, finish_timeout=WAITED),
        )
        return _WandBRun(run, id)


class _WandBRun(Session):
    def __init__(self, run: Any, id: str) -> None:
        self.id = id
        self._run = run
        # Not W&B's own steps: those of a run that is resumed from an earlier epoch would be refused
        run.define_metric("epoch", hidden=True)
        run.define_metric("*", step_metric="epoch")

    def values(self, values: Mapping[str, float], epoch: int) -> None:
        self._run.log({**values, "epoch": epoch})

    def end(self, record: Record) -> None:
        from hydra_peft.runs.hparams import results

        self._run.summary.update({"status": record.status, **results(record)})
        self._run.finish(exit_code=0 if record.status == "completed" else 1)

    def abandon(self) -> None:
        self._run.finish(exit_code=1)


TRACKER = WandB
