"""Hyper-parameters chosen on held-out images before the one run that counts."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra_peft.config.grid import (
    COARSE_TO_FINE,
    RATE_AND_DECAY,
    RELEASED,
    Choice,
    choices,
    logarithmic,
    used,
)
from hydra_peft.config.schema import RunConfig
from hydra_peft.errors import RunFailed, UserError
from hydra_peft.methods._base import Preparation
from hydra_peft.metrics import find_metric, score_text
from hydra_peft.runs.assembly import check_images, data_sha256, load_backbone
from hydra_peft.runs.claims import holder
from hydra_peft.runs.coarse_to_fine import coarse_to_fine, first_round, most_trials
from hydra_peft.runs.existing import decide, folder_of, folders_of, found_folder, retry_of
from hydra_peft.runs.folder import check_no_links, holds_record, set_aside
from hydra_peft.runs.on_device import on_device
from hydra_peft.runs.outcome import Outcome, existing_outcome
from hydra_peft.runs.preparing import choose_options
from hydra_peft.runs.record import completed_score
from hydra_peft.runs.run import run
from hydra_peft.runs.search import (
    Dimension,
    check_search,
    description,
    first_draws,
    search,
    search_space,
    trials_of,
)
from hydra_peft.runs.shared import Shared
from hydra_peft.runs.trials import (
    candidate,
    not_twice,
    preparation_run,
    trials_begun,
    weights_by_seed,
)
from hydra_peft.training.distributed import current
from hydra_peft.training.seeding import derive_seed

if TYPE_CHECKING:
    from hydra_peft.backbones.backbones import Weights

log = logging.getLogger("hydra_peft")

#: what was tried, and what came of it
Tried = tuple[Choice, Outcome]


def run_protocol(config: RunConfig, shared: Shared | None = None) -> Outcome:
    """Do what ``config`` describes: one run, or what chooses for it on held-out data before it too.

    With ``protocol.tune`` that is a search; a method may have a preparation of its own
    (:class:`hydra_peft.methods._base.Preparation`).

    The search trains each combination of ``protocol.grid``, or those that ``protocol.search``
    draws, on the part ``fit`` of the training data and scores its last epoch on ``val``, which is
    held out. The best, the earlier one on ties, is then run on all of ``train`` and scored on
    ``test``, once. Runs of the search are kept below
    ``<paths.runs>/tuning`` and, when they are complete, not done again.

    Args:
        config: checked.
        shared: of runs in turn in this process.

    Raises:
        UserError: as :func:`hydra_peft.runs.run.run`; or what ``protocol.search`` draws with is not
            installed.
        RunFailed: no combination gave a score, or one failed before and is not asked for again.
    """
    config = on_device(config)
    shared = shared or Shared()
    if not config.chooses:
        return run(config, shared=shared)
    prepared = config.method.preparation()
    check_search(config.protocol)
    if current().size > 1:
        asked = "protocol.tune=true" if prepared is None else prepared.asked
        raise UserError(
            f"torchrun trains one run in several processes, but {asked} does more than one: leave "
            "torchrun out."
        )
    _, weights = load_backbone(config.model, config.seed)
    existing = existing_outcome(config, found_folder(config, weights))
    if existing is not None:
        return existing
    # Now, not after a search that may take days: only the last run needs the test set.
    check_images(config)
    check_folders(config, weights_by_seed(config), data_sha256)
    if prepared is None:
        best, tuning = _tuned(config, shared)
    else:
        best, tuning = _prepared(config, prepared)
    outcome = run(best.apply(config), tuning=tuning, shared=shared)
    if outcome.record.status == "completed":
        _set_others_aside(config, weights, outcome.folder)
    return outcome


def check_folders(
    config: RunConfig,
    weights_at: Callable[[int], Weights],
    data_of: Callable[[RunConfig], str],
) -> None:
    """Check before a search that what is in its folders, and in the run's, keeps neither from
    being done: that would show only when it comes to them.

    Args:
        weights_at: see :func:`hydra_peft.runs.trials.weights_by_seed`.
        data_of: gives the hash of the data of a run as it is now.

    Raises:
        UserError: one that may be written to is a link; or one of a trial holds another run than
            its name says, or was made on other data.
    """
    if not config.chooses:
        return
    for folder in folders_of(config, weights_at(config.seed)):
        check_no_links(Path(config.paths.runs), folder)
    for known in _known_trials(config):
        trial = not_twice(known, config, weights_at, data_of)
        decide(trial, folder_of(trial, weights_at(trial.seed)), functools.partial(data_of, trial))
    for folder, _ in trials_begun(config):  # those too of which only scores tell
        check_no_links(folder.parents[2], folder)


def _set_others_aside(config: RunConfig, weights: Weights, folder: Path) -> None:
    """Set aside what is there of the completed run in ``folder`` by other choices of searches."""
    runs = Path(config.paths.runs)
    others = [one for one in folders_of(config, weights) if one != folder and holds_record(one)]
    for other in others:
        if not other.is_symlink() and holder(runs, other) is None:
            aside = set_aside(other).name
            log.info("%s is kept as %s: the search chose otherwise this time", other.name, aside)


def _prepared(config: RunConfig, found: Preparation) -> tuple[Choice, dict[str, Any]]:
    """Do the phases of the method's preparation; return what it chose, for a record too."""
    first = preparation_run(config)
    assert first is not None, "found"
    outcome = run(not_twice(first, config))
    if outcome.record.status != "completed":
        record, retry = outcome.record, retry_of(outcome.record)
        raise RunFailed(
            f"{config.dataset.name}: the run that {found.asked} trains first, in {outcome.folder}, "
            f"is {record.status} ({record.error}): sweep.retry={retry} starts it again."
        )
    return choose_options(config, found, outcome)


def _tuned(config: RunConfig, shared: Shared) -> tuple[Choice, dict[str, Any]]:
    """Do the search that ``protocol.tune`` asks for; return what it chose, for a record too."""
    tried: list[Tried] = []
    if config.protocol.search in COARSE_TO_FINE:
        best = _coarse_to_fine(config, tried, shared)
    else:
        _search(config, tried, shared)
        best = _first_best(config, tried)
    if best is None and config.protocol.search == RELEASED:
        raise RunFailed(
            f"{config.dataset.name}: no trial of protocol.search={RELEASED} scored above 0, where "
            "the release goes on with a learning rate of 0: take protocol.search=elevater."
        )
    if best is None:
        raise RunFailed(
            f"{config.dataset.name}: all {len(tried)} combinations of protocol.grid diverged: "
            "give protocol.grid.optimizer.lr smaller rates."
        )
    log.info("tuning of %s chose %s", config.dataset.name, best)
    return best, _describe(config, tried, best)


def _first_best(config: RunConfig, tried: list[Tried]) -> Choice | None:
    """Return what scored best, the first of equals; None where nothing was completed."""
    metric = find_metric(config.dataset.metric)
    best: Choice | None = None
    reached = 0.0
    for choice, outcome in tried:
        if outcome.record.status != "completed":
            continue
        score = completed_score(outcome.record)
        if best is None or metric.better(score, than=reached):
            best, reached = choice, score
    return best


def tries(config: RunConfig) -> int:
    """Number of runs that choose for ``config``: combinations of a search, or the method's one."""
    if not config.protocol.tune:
        return int(config.chooses)
    if config.protocol.search == "grid":
        return len(choices(config))
    if config.protocol.search in COARSE_TO_FINE:
        return most_trials(*map(len, _rates_and_decays(config)))
    return trials_of(_space(config), config.protocol.trials)


def certain_trials(config: RunConfig) -> list[RunConfig]:
    """Return the runs that the search of ``config`` does whatever they score.

    They may be done before it, in any order; the search then finds them done. None where nothing is
    searched, or where what is complete is done again, which would be twice.
    """
    if not config.protocol.tune or config.sweep.on_existing == "rerun":
        return []
    return _known_trials(config)


def _known_trials(config: RunConfig) -> list[RunConfig]:
    """Return the runs that choose for ``config`` whatever any of them scores."""
    if (prepared := preparation_run(config)) is not None:
        return [prepared]
    protocol = config.protocol
    if protocol.search == "grid":
        tried = choices(config)
    elif protocol.search in COARSE_TO_FINE:
        values = _values_of(config)
        tried = [Choice(values(*pair)) for pair in first_round(*_rates_and_decays(config))]
    else:
        draws = first_draws(_space(config), trials=protocol.trials, seed=_search_seed(config))
        tried = [Choice(one) for one in draws]
    return [candidate(config, choice) for choice in tried]


def _search_seed(config: RunConfig) -> int:
    return derive_seed(config.choosing_seed, "search")


def _space(config: RunConfig) -> dict[str, Dimension]:
    return search_space(used(config), logarithmic=logarithmic(config))


def _search(config: RunConfig, tried: list[Tried], shared: Shared) -> None:
    """Try what there is to try; ``tried`` has it in that order."""
    if config.protocol.search == "grid":
        tried.extend((choice, _try(config, choice, shared)) for choice in choices(config))
        return
    search(
        _space(config),
        trials=config.protocol.trials,
        seed=_search_seed(config),
        score=_scorer(config, tried, shared),
    )


def _coarse_to_fine(config: RunConfig, tried: list[Tried], shared: Shared) -> Choice | None:
    """Do ELEVATER's search; ``tried`` has what was tried, and nothing twice."""
    score, values = _scorer(config, tried, shared, again=False), _values_of(config)
    found = coarse_to_fine(
        *_rates_and_decays(config),
        lambda rate, decay: score(values(rate, decay)),
        released=config.protocol.search == RELEASED,
    )
    return None if found is None else Choice(values(found.rate, found.decay))


def _values_of(config: RunConfig) -> Callable[[float, float], dict[str, Any]]:
    """Return what gives all values of a trial for its learning rate and weight decay."""
    grid = used(config)

    def values(rate: float, decay: float) -> dict[str, Any]:
        own = dict(zip(RATE_AND_DECAY, (rate, decay), strict=True))
        return {key: own.get(key, given[0]) for key, given in grid.items()}

    return values


def _rates_and_decays(config: RunConfig) -> tuple[list[float], list[float]]:
    rates, decays = (used(config)[key] for key in RATE_AND_DECAY)
    return rates, decays


def _scorer(
    config: RunConfig, tried: list[Tried], shared: Shared, *, again: bool = True
) -> Callable[[dict[str, Any]], float | None]:
    """Return what does a trial and adds it to ``tried``: the higher the better, None of none.

    Args:
        again: whether one that is asked for a second time is added a second time.
    """
    count = tries(config)
    # A search looks for the highest.
    sign = 1.0 if find_metric(config.dataset.metric).higher_is_better else -1.0

    def score(values: dict[str, Any]) -> float | None:
        choice = Choice(values)
        # What is drawn twice is one run, also where complete ones are done again.
        known = next((outcome for earlier, outcome in tried if earlier == choice), None)
        outcome = known or _try(config, choice, shared)
        if known is None or again:
            tried.append((choice, outcome))
            log.info("trial %d of %d, %s: %s", len(tried), count, choice, _said(config, outcome))
        reached = outcome.record.score
        return None if reached is None else sign * float(reached)

    return score


def _said(config: RunConfig, outcome: Outcome) -> str:
    """Return what came of a trial, in words."""
    record, held_out = outcome.record, config.dataset.splits.val
    if record.score is None:
        return record.status
    return f"{score_text(record.primary, record.score, 1)} on {held_out}"


def _try(config: RunConfig, choice: Choice, shared: Shared) -> Outcome:
    outcome = run(not_twice(candidate(config, choice), config), shared=shared)
    # That it diverged is what the trial was to find out; that it failed says nothing of its values.
    if outcome.record.status == "failed":
        raise RunFailed(
            f"the run of the search in {outcome.folder} failed before ({outcome.record.error}): "
            "sweep.retry=failed starts it again."
        )
    return outcome


def _describe(config: RunConfig, tried: list[Tried], best: Choice) -> dict[str, Any]:
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
        "seed": config.choosing_seed,
        "chosen": best.values,
        "candidates": candidates,
    }
