"""Phases before a run: a model is trained on part of the data, options chosen by its scores.

The first phase is a run of its own below ``<paths.runs>/tuning``, resumed as any. Each score of the
second is kept in that run's folder at once, and candidates depend on the seed and on scores alone:
a search that was cut off draws them again, and has the scores that it had.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hydra_peft.backbones.inputs import preparation as input_preparation
from hydra_peft.config.grid import Choice
from hydra_peft.config.schema import RunConfig
from hydra_peft.errors import UserError
from hydra_peft.files import read_json, write_json
from hydra_peft.finite import is_finite
from hydra_peft.methods._base import Preparation
from hydra_peft.metrics import find_metric, score_text
from hydra_peft.runs.outcome import Outcome
from hydra_peft.runs.rebuild import RebuiltRun, load_scored_split, rebuild
from hydra_peft.training.devices import resolve_device
from hydra_peft.training.evaluation import evaluate
from hydra_peft.training.seeding import generator

log = logging.getLogger("hydra_peft")

#: in the folder of the run that was prepared: the scores of candidates so far
SCORES = "candidate_scores.json"
#: candidates that a record names, the best ones
_NAMED = 10
#: candidates between two lines of the log
_LOGGED = 50

Options = dict[str, Any]


def choose_options(
    config: RunConfig, found: Preparation, prepared: Outcome
) -> tuple[Choice, dict[str, Any]]:
    """Score candidates with the model that was ``prepared``; return the best, the first on ties.

    Args:
        config: of the run that is prepared for.
        found: its method's preparation.
        prepared: the completed run of the first phase.

    Returns:
        The best candidate, and what a record says of the search.

    Raises:
        UserError: the model or its data is not what the prepared run recorded.
    """
    run = rebuild(prepared.folder)
    memory = _Memory(prepared.folder / SCORES, run.record.adapter)
    score = _scoring(config, found, run)
    metric = find_metric(run.record.primary)
    sign = 1.0 if metric.higher_is_better else -1.0
    search = found.candidates(run.model, generator(config.choosing_seed, "search"))
    scored: list[tuple[Options, float]] = []
    best, options = -1, next(search, None)
    while options is not None:
        scored.append((options, memory.get(options, score)))
        reached = scored[-1][1]
        if best < 0 or metric.better(reached, than=scored[best][1]):
            best = len(scored) - 1
        if len(scored) % _LOGGED == 0:
            said = score_text(metric.name, scored[best][1], 1)
            log.info("%s: %d candidates, best %s", found.asked, len(scored), said)
        try:
            options = search.send(sign * reached)
        except StopIteration:
            options = None
    chosen = _as_it_acts(config, found, scored[best][0])
    words = " ".join(
        f"'{k}={json.dumps(v, separators=(',', ':'))}'" for k, v in chosen.values.items()
    )
    log.info("%s found %s: with these in its place the run is the same", found.asked, words)
    order = sorted(range(len(scored)), key=lambda at: -sign * scored[at][1])[:_NAMED]
    return chosen, {
        "search": found.asked,
        "split": run.record.split,
        "scored": len(scored),
        "chosen": chosen.values,
        "candidates": [_named(config, found, run, *scored[at]) for at in order],
    }


def _named(
    config: RunConfig, found: Preparation, run: RebuiltRun, options: Options, score: float
) -> dict[str, Any]:
    """Return what a record says of a candidate."""
    said = {"score": score, "status": "completed", "config_id": run.record.config_id}
    return {**_as_it_acts(config, found, options).values, **said}


def _as_it_acts(config: RunConfig, found: Preparation, options: Options) -> Choice:
    """Return ``options`` by dotted key, in the form that identities have."""
    acting = dataclasses.replace(config.method, **options).identity()
    return Choice({f"method.{key}": acting[key] for key in found.chooses})


def _scoring(config: RunConfig, found: Preparation, run: RebuiltRun) -> Callable[[Options], float]:
    """Return what scores a candidate on the held-out split."""
    device = resolve_device(config.device)
    model = run.model.to(device)
    split = load_scored_split(run, cache=Path(config.paths.cache)).in_memory(device)
    task, prepare = (
        run.config.task(),
        input_preparation(model, run.config.data.normalization, device),
    )

    def score(options: Options) -> float:
        found.show(model, options)
        reached = evaluate(
            model, task, split, prepare=prepare, device=device, precision=run.config.precision
        )
        return float(reached.values[task.primary.name])

    return score


class _Memory:
    """Scores of candidates on disk; those of another model are forgotten.

    Args:
        path: of the file.
        adapter: sha256 of the trained tensors that scores are of.
    """

    def __init__(self, path: Path, adapter: str) -> None:
        self._path = path
        self._adapter = adapter
        self._scores = _read(path, adapter)

    def get(self, options: Options, score: Callable[[Options], float]) -> float:
        """Return the score of ``options``, which ``score`` gives where it is not known."""
        key = json.dumps(options, sort_keys=True, separators=(",", ":"))
        if key not in self._scores:
            self._scores[key] = score(options)
            write_json(self._path, {"adapter": self._adapter, "scores": self._scores})
        return self._scores[key]


def _read(path: Path, adapter: str) -> dict[str, float]:
    try:
        values: Mapping[str, Any] = read_json(path)
    except UserError:
        return {}  # none yet, or damaged: they can be had again
    scores = values.get("scores")
    if values.get("adapter") != adapter or not isinstance(scores, dict):
        return {}
    return dict(scores) if all(map(is_finite, scores.values())) else {}
