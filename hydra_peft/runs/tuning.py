"""Hyper-parameters chosen on held-out images before the one run that counts."""

from __future__ import annotations

import dataclasses
import itertools
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from hydra_peft.config.schema import RunConfig
from hydra_peft.errors import UserError
from hydra_peft.runs.assembly import check_images, load_backbone
from hydra_peft.runs.folder import TUNING
from hydra_peft.runs.run import Outcome, existing_outcome, run
from hydra_peft.training.distributed import current

log = logging.getLogger("hydra_peft")

#: options of a method that tuning chooses, where the method has them
METHOD_OPTIONS = ("scale", "dropout")


@dataclass(frozen=True)
class Choice:
    """One combination out of a grid.

    Attributes:
        lr: learning rate.
        options: options of the method.
    """

    lr: float
    options: dict[str, float]

    def apply(self, config: RunConfig) -> RunConfig:
        """Return ``config`` with these values."""
        return dataclasses.replace(
            config,
            optimizer=dataclasses.replace(config.optimizer, lr=self.lr),
            method=dataclasses.replace(config.method, **self.options),
        )

    def as_dict(self) -> dict[str, float]:
        """Return the values by name."""
        return {"lr": self.lr, **self.options}


def run_protocol(config: RunConfig, config_yaml: str) -> Outcome:
    """Do what ``config`` describes: one run, or with ``protocol.tune`` the search before it too.

    The search trains each combination of ``protocol.grid`` on train800 and scores its last epoch
    on val200. The best, the earlier in the grid on ties, is then run on all 1000 images and scored
    on the test set, once. Runs of the search are kept below ``<paths.runs>/tuning`` and, when they
    are complete, not done again.

    Args:
        config: checked.
        config_yaml: the same, composed and resolved.

    Raises:
        UserError: as :func:`hydra_peft.runs.run.run`; or no combination gave a score.
    """
    if not config.protocol.tune:
        return run(config, config_yaml)
    if current().size > 1:
        raise UserError(
            "torchrun trains one run in several processes, but protocol.tune=true does many: tune "
            "without torchrun."
        )
    _, weights = load_backbone(config.model, config.seed)
    existing = existing_outcome(config, weights)
    if existing is not None:
        return existing
    # Now, not after a search that may take days: only the last run needs the test set.
    check_images(config)
    tried = [(choice, _try(config, config_yaml, choice)) for choice in choices(config)]
    scored = [(choice, outcome) for choice, outcome in tried if outcome.record.metrics]
    if not scored:
        raise UserError(
            f"{config.dataset.name}: all {len(tried)} combinations of protocol.grid diverged: "
            "give protocol.grid.lr smaller rates."
        )
    # max() keeps the first of equals.
    best, _ = max(scored, key=lambda pair: int(pair[1].record.metrics["correct"]))
    log.info("tuning of %s chose %s", config.dataset.name, best.as_dict())
    chosen_yaml = _with_choice(config_yaml, best)
    return run(best.apply(config), chosen_yaml, tuning=_describe(tried, best))


def choices(config: RunConfig) -> list[Choice]:
    """Return every combination of ``protocol.grid`` that means something for the method."""
    grid = config.protocol.grid
    has = {field.name for field in dataclasses.fields(config.method)}
    options = [name for name in METHOD_OPTIONS if name in has]
    values = [getattr(grid, name) for name in options]
    return [
        Choice(lr, dict(zip(options, combination, strict=True)))
        for lr in grid.lr
        for combination in itertools.product(*values)
    ]


def _try(config: RunConfig, config_yaml: str, choice: Choice) -> Outcome:
    protocol = dataclasses.replace(
        config.protocol,
        name=f"{config.protocol.name}-tuning",
        train_split="train800",
        evaluate_split="val200",
        selection="last",
        evaluate_every=None,
        tune=False,
    )
    paths = dataclasses.replace(config.paths, runs=str(Path(config.paths.runs) / TUNING))
    # A search that is asked for twice goes on; only a plain run can be an error to repeat.
    on_existing = "rerun" if config.sweep.on_existing == "rerun" else "skip"
    candidate = dataclasses.replace(
        choice.apply(config),
        protocol=protocol,
        paths=paths,
        sweep=dataclasses.replace(config.sweep, on_existing=on_existing),
    )
    changes: dict[str, Any] = {
        "protocol": dataclasses.asdict(protocol),
        "paths": dataclasses.asdict(paths),
    }
    yaml = OmegaConf.to_yaml(OmegaConf.merge(OmegaConf.create(config_yaml), changes))
    return run(candidate, _with_choice(yaml, choice))


def _with_choice(config_yaml: str, choice: Choice) -> str:
    changes = {"optimizer": {"lr": choice.lr}, "method": choice.options}
    return OmegaConf.to_yaml(OmegaConf.merge(OmegaConf.create(config_yaml), changes))


def _describe(tried: list[tuple[Choice, Outcome]], best: Choice) -> dict[str, Any]:
    candidates = [
        {
            **choice.as_dict(),
            "accuracy": outcome.record.metrics.get("accuracy"),
            "status": outcome.record.status,
            "config_id": outcome.record.config_id,
        }
        for choice, outcome in tried
    ]
    return {"split": "val200", "chosen": best.as_dict(), "candidates": candidates}
