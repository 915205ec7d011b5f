"""Mistakes of trained classifiers: confusion matrix and worst ones of each task's best run."""

from __future__ import annotations

import shlex
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from hydra_peft.commands import command
from hydra_peft.figures import find_figure, why_not
from hydra_peft.figures._base import RunFigure
from hydra_peft.report.details import RUNS
from hydra_peft.report.pictures import EmbeddedPicture, Picture, embed, picture_of
from hydra_peft.report.run_lines import run_key
from hydra_peft.runs.collection import Collection, FoundRun
from hydra_peft.runs.kept_predictions import has_classes
from hydra_peft.runs.record import completed_score
from hydra_peft.tables.grouping import run_label
from hydra_peft.tables.measures import measure_of
from hydra_peft.tables.overrides import Defaults

#: tasks whose best run is shown; of more, the first by name
MOST = 12
#: the figures of a run: options, and the table of its numbers that the page lists
_FIGURES: dict[str, tuple[dict[str, int], str]] = {
    "confusion": ({}, "classes"),
    "mistakes": ({"images": 12}, ""),
}


@dataclass(frozen=True)
class RunPictures:
    """Pictures of one run.

    Attributes:
        key: of the run, see :func:`~hydra_peft.report.run_lines.run_key`.
        task, method, seed: what the run was.
        others: how many further runs of the task kept their predictions.
        pictures: its confusion matrix and its worst mistakes.
        undrawn: a sentence for each that could not be drawn.
    """

    key: str
    task: str
    method: str
    seed: int
    others: int
    pictures: list[Picture] = field(default_factory=list)
    undrawn: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Mistakes:
    """Pictures of the page's runs, and the tasks left out.

    Attributes:
        runs: one for each task, at most :data:`MOST`.
        left_out: tasks beyond these.
        command: how another run's pictures are drawn.
    """

    runs: list[RunPictures]
    left_out: list[str]
    command: str


@dataclass(frozen=True)
class EmbeddedMistakes:
    """The same as the page shows it: each run with its embedded pictures."""

    runs: list[tuple[RunPictures, list[EmbeddedPicture]]]
    left_out: list[str]
    command: str


def mistakes_of(runs: Path, collection: Collection, fill: Path | None = None) -> Mistakes:
    """Draw the mistakes of the best run of each task, among those that kept their predictions.

    Args:
        runs: where the run folders are.
        collection: what was found there.
        fill: the folder that commands name; None where the runs are in the usual one.
    """
    by_task: dict[str, list[FoundRun]] = defaultdict(list)
    for run in collection.completed:
        if has_classes(run.folder, run.record):
            by_task[f"{run.record.benchmark}/{run.record.task}"].append(run)
    tasks = sorted(by_task)
    chosen = [
        _run_pictures(runs, task, by_task[task], collection.defaults) for task in tasks[:MOST]
    ]
    example = shlex.quote(f"run={fill or RUNS}/<folder>")
    draw = f"{command('figures')} figure=confusion {example}"
    return Mistakes(chosen, tasks[MOST:], draw)


def embed_mistakes(mistakes: Mistakes | None) -> EmbeddedMistakes | None:
    """Return ``mistakes`` as the page shows them; None where no run kept its predictions."""
    if mistakes is None or not mistakes.runs:
        return None
    runs = [(run, [embed(picture) for picture in run.pictures]) for run in mistakes.runs]
    return EmbeddedMistakes(runs, mistakes.left_out, mistakes.command)


def _run_pictures(
    runs: Path, task: str, found: list[FoundRun], defaults: Defaults | None
) -> RunPictures:
    best = max(found, key=_goodness)
    record = best.record
    shown = RunPictures(
        key=run_key(str(best.folder.relative_to(runs))),
        task=task,
        method=run_label(record, defaults),
        seed=record.seed,
        others=len(found) - 1,
    )
    for name in _FIGURES:
        # One that fails, for whatever reason, is not the end of the page.
        try:
            shown.pictures.append(_draw(name, best, defaults))
        except Exception as error:
            shown.undrawn.append(f"{name}: {why_not(error)}")
    return shown


def _goodness(run: FoundRun) -> tuple[bool, bool, float, str]:
    """Return what decides which run is shown: scored on test, pretrained, then its score."""
    record = run.record
    sign = measure_of(record.primary).sign or 1
    score = sign * completed_score(record)
    return record.on_test, not record.random_weights, score, str(run.folder)


def _draw(name: str, run: FoundRun, defaults: Defaults | None) -> Picture:
    figure = find_figure(name)
    assert isinstance(figure, RunFigure), "of one run"
    options, table = _FIGURES[name]
    data = figure.data([run.folder], figure.settings(**options), defaults)
    return picture_of(
        figure, data, table=table, name=f"{name}-{run.record.task}", of=f"run={run.folder}"
    )
