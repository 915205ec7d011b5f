"""Hyper-parameters chosen on held-out images before the one run that counts."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hydra_peft.config.grid import Choice, choices, logarithmic, opened, used
from hydra_peft.config.identity import TUNED, config_id, science
from hydra_peft.config.schema import RunConfig
from hydra_peft.errors import RunFailed, UserError
from hydra_peft.metrics import find_metric, score_text
from hydra_peft.runs.assembly import check_images, load_backbone
from hydra_peft.runs.existing import folder_of
from hydra_peft.runs.folder import TUNING, runs_of_task
from hydra_peft.runs.on_device import on_device
from hydra_peft.runs.outcome import Outcome, existing_outcome
from hydra_peft.runs.record import Record, completed_score, read_record
from hydra_peft.runs.run import run
from hydra_peft.runs.search import (
    Dimension,
    check_search,
    description,
    search,
    search_space,
    trials_of,
)
from hydra_peft.training.distributed import current
from hydra_peft.training.seeding import derive_seed

log = logging.getLogger("hydra_peft")


def run_protocol(config: RunConfig) -> Outcome:
    """Do what ``config`` describes: one run, or with ``protocol.tune`` the search before it too.

    The search trains each combination of ``protocol.grid``, or those that ``protocol.search``
    draws, on the part ``fit`` of the training data and scores its last epoch on ``val``, which is
    held out. The best, the earlier one on ties, is then run on all of ``train`` and scored on
    ``test``, once. Runs of the search are kept below
    ``<paths.runs>/tuning`` and, when they are complete, not done again.

    Args:
        config: checked.

    Raises:
        UserError: as :func:`hydra_peft.runs.run.run`; or what ``protocol.search`` draws with is not
            installed.
        RunFailed: no combination gave a score, or one failed before and is not asked for again.
    """
    config = on_device(config)
    if not config.protocol.tune:
        return run(config)
    check_search(config.protocol)
    if current().size > 1:
        raise UserError(
            "torchrun trains one run in several processes, but protocol.tune=true does many: tune "
            "without torchrun."
        )
    _, weights = load_backbone(config.model, config.seed)
    existing = existing_outcome(config, folder_of(config, weights))
    if existing is not None:
        return existing
    # Now, not after a search that may take days: only the last run needs the test set.
    check_images(config)
    tried = _search(config)
    scored = [
        (choice, outcome) for choice, outcome in tried if outcome.record.status == "completed"
    ]
    if not scored:
        raise RunFailed(
            f"{config.dataset.name}: all {len(tried)} combinations of protocol.grid diverged: "
            "give protocol.grid.optimizer.lr smaller rates."
        )
    metric = find_metric(config.dataset.metric)
    best, reached = scored[0]
    for choice, outcome in scored[1:]:
        # The first of equals stays.
        if metric.better(completed_score(outcome.record), than=completed_score(reached.record)):
            best, reached = choice, outcome
    log.info("tuning of %s chose %s", config.dataset.name, best)
    return run(best.apply(config), tuning=_describe(config, tried, best))


def tries(config: RunConfig) -> int:
    """Number of combinations that the search of ``config`` tries."""
    if config.protocol.search == "grid":
        return len(choices(config))
    return trials_of(_space(config), config.protocol.trials)


def _space(config: RunConfig) -> dict[str, Dimension]:
    return search_space(used(config), logarithmic=logarithmic(config))


def _search(config: RunConfig) -> list[tuple[Choice, Outcome]]:
    """Try what there is to try; return it in that order."""
    if config.protocol.search == "grid":
        return [(choice, _try(config, choice)) for choice in choices(config)]
    tried: list[tuple[Choice, Outcome]] = []
    count = tries(config)
    # A search looks for the highest.
    sign = 1.0 if find_metric(config.dataset.metric).higher_is_better else -1.0

    def score(values: dict[str, Any]) -> float | None:
        choice = Choice(values)
        # What is drawn twice is one run, also where complete ones are done again.
        known = next((outcome for earlier, outcome in tried if earlier == choice), None)
        outcome = known or _try(config, choice)
        tried.append((choice, outcome))
        reached = outcome.record.score
        said = outcome.record.status
        if reached is not None:
            held_out = config.dataset.splits.val
            said = f"{score_text(outcome.record.primary, reached, 1)} on {held_out}"
        log.info("trial %d of %d, %s: %s", len(tried), count, choice, said)
        return None if reached is None else sign * float(reached)

    search(
        _space(config),
        trials=config.protocol.trials,
        seed=derive_seed(_seed(config), "search"),
        score=score,
    )
    return tried


def _seed(config: RunConfig) -> int:
    """Return the seed of what the search of ``config`` tries."""
    asked = config.protocol.tune_seed
    return config.seed if asked is None else asked


def candidate(config: RunConfig, choice: Choice) -> RunConfig:
    """Return the run of the search that tries ``choice`` for ``config``."""
    roles = config.dataset.splits
    assert roles.fit is not None, "checked where tuning is asked for"
    assert roles.val is not None, "checked likewise"
    protocol = dataclasses.replace(
        config.protocol,
        name=f"{config.protocol.name}-tuning",
        train_split=roles.fit,
        evaluate_split=roles.val,
        selection="last",
        evaluate_every=None,
        tune=False,
        tune_seed=None,
    )
    paths = dataclasses.replace(config.paths, runs=str(Path(config.paths.runs) / TUNING))
    # A search that is asked for twice goes on; only a plain run can be an error to repeat.
    on_existing = "rerun" if config.sweep.on_existing == "rerun" else "skip"
    return choice.apply(
        config,
        seed=_seed(config),
        protocol=protocol,
        paths=paths,
        sweep=dataclasses.replace(config.sweep, on_existing=on_existing),
    )


def trials_begun(config: RunConfig) -> Iterator[tuple[Path, Record]]:
    """Yield folder and record of each run that the search of ``config`` does or may draw.

    On whatever weights; none where nothing is searched for.
    """
    if not config.protocol.tune:
        return
    dataset = config.dataset
    tuning = Path(config.paths.runs) / TUNING
    for folder in runs_of_task(
        tuning, benchmark=dataset.benchmark, task=dataset.name, seed=_seed(config)
    ):
        with contextlib.suppress(UserError):
            record = read_record(folder)
            if _is_trial(record, config):
                yield folder, record


def _is_trial(record: Record, config: RunConfig) -> bool:
    """Whether ``record`` differs from the trials of ``config`` in what tuning chooses alone."""
    if config.protocol.search == "grid":
        return record.config_id in {config_id(candidate(config, one)) for one in choices(config)}
    expected = opened(config, science(candidate(config, choices(config)[0])), TUNED)
    return _left_open(record.science, expected) == expected


def _left_open(found: dict[str, Any], expected: dict[str, Any]) -> dict[str, Any]:
    """Return the science ``found`` without the values that ``expected`` leaves to tuning."""
    return {
        group: {k: TUNED if expected[group].get(k) == TUNED else v for k, v in values.items()}
        if isinstance(values, dict) and isinstance(expected.get(group), dict)
        else values
        for group, values in found.items()
    }


def _try(config: RunConfig, choice: Choice) -> Outcome:
    outcome = run(candidate(config, choice))
    # That it diverged is what the trial was to find out; that it failed says nothing of its values.
    if outcome.record.status == "failed":
        raise RunFailed(
            f"the run of the search in {outcome.folder} failed before ({outcome.record.error}): "
            "sweep.retry=failed starts it again."
        )
    return outcome


def _describe(
    config: RunConfig, tried: list[tuple[Choice, Outcome]], best: Choice
) -> dict[str, Any]:
    candidates = [
        {
            **choice.values,
            "score": outcome.record.score,
            "status": outcome.record.status,
            "config_id": outcome.record.config_id,
        }
        for choice, outcome in tried
    ]
    how = config.protocol.search
    drawn = description(_space(config)) if how == "optuna" else {}
    return {
        "search": how,
        **drawn,
        "trials": len(tried),
        "split": config.dataset.splits.val,
        "seed": _seed(config),
        "chosen": best.values,
        "candidates": candidates,
    }
