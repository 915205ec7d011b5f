"""Details of a run that the report shows when a row is opened; shared texts are stored once."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hydra_peft.commands import command
from hydra_peft.errors import UserError
from hydra_peft.report.curves import read_curves
from hydra_peft.report.plain import bounded, plain
from hydra_peft.report.run_files import read_config, read_traceback
from hydra_peft.report.run_lines import RunLine
from hydra_peft.runs.config_file import MAX_CONFIG_BYTES
from hydra_peft.runs.kept_predictions import has_classes

#: parts of a record that are shown, in this order, under these titles; the science is the config
#: without names and places
PARTS = {
    "scores": "Scores",
    "selection": "Selection",
    "counts": "Examples",
    "training": "End of training",
    "predictions": "Predictions",
    "parameters": "Parameters",
    "times": "Times (s)",
    "images_per_second": "Training (examples a second)",
    "method": "Method",
    "inputs": "Inputs",
    "data": "Data",
    "weights": "Weights",
    "init_from": "Started from",
    "adapter": "Adapter (sha256)",
    "outputs": "Kept predictions (sha256)",
    "code": "Code",
    "hardware": "Hardware",
    "versions": "Versions",
    "memory": "Peak memory",
    "path": "Way of computing",
    "tuning": "Tuning",
    "resumed": "Resumed",
    "settings": "Settings",
}
#: where runs are unless a command says otherwise
RUNS = Path("results/runs")
#: characters of json that all parts of one record may have; ours have 5,000
MAX_RECORD = 48 * 2**10


class Pool:
    """Values by number, each distinct one once."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._numbers: dict[str, int] = {}

    def number(self, value: Any) -> int:
        """Return the number of ``value``, as json has it."""
        key = json.dumps(value)
        if key not in self._numbers:
            self._numbers[key] = len(self.values)
            self.values.append(value)
        return self._numbers[key]


def run_details(
    lines: Iterable[RunLine], fill: Path | None = None
) -> tuple[dict[str, Any], list[str]]:
    """Return the json from which the page's script opens runs, and a sentence for each unreadable
    file.

    Args:
        fill: the folder that commands name; None where the runs are in the usual one.

    Returns:
        ``parts``, the titles of a record's parts; ``pool``, the shared values; ``runs``, by key,
        where ``config`` and the values of ``record`` are numbers of the pool.
    """
    pool = Pool()
    warnings: list[str] = []
    runs = {line.key: _details(line, pool, warnings, fill or RUNS) for line in lines}
    return {"parts": PARTS, "pool": pool.values, "runs": runs}, warnings


def _details(line: RunLine, pool: Pool, warnings: list[str], runs: Path) -> dict[str, Any]:
    record = line.record
    details: dict[str, Any] = {
        "title": plain(line.label),
        "task": plain(f"{record.benchmark}/{record.task}"),
        "seed": bounded(record.seed),
        "protocol": plain(record.protocol),
        "model": plain(record.model),
        "id": plain(record.config_id),
        "folder": plain(line.folder),
        "started": plain(record.started),
        "ended": plain(record.ended or ""),
        "status": line.status,
        "metric": plain(line.measure.title),
        "score": plain(_score(line)),
        "scored_on": plain(f"scored on {record.split}, {record.rule}" if record.split else ""),
        "cause": plain(line.cause, 2000),
        "badges": [[badge.text, badge.kind, badge.title] for badge in line.badges],
        "record": _record(line, pool),
        "confusion": plain(_confusion(line, runs), 2000),
    }
    try:
        curves = read_curves(line.path, record, warnings)
        details["curves"] = vars(curves) if curves else None
    except UserError as error:
        warnings.append(str(error))
    try:
        details["config"] = _config(read_config(line.path), pool)
        if record.traceback:
            traceback = read_traceback(line.path) or ""
            details["traceback"] = plain(traceback, len(traceback), keep="\n\t")
    except UserError as error:
        warnings.append(str(error))
    return details


def _confusion(line: RunLine, runs: Path) -> str:
    """Return the command that draws the run's confusion matrix; "" where there is none to draw."""
    if line.status != "completed" or not has_classes(line.path, line.record):
        return ""
    folder = shlex.quote(f"run={runs / line.folder}")
    return f"{command('figures')} figure=confusion {folder}"


def _score(line: RunLine) -> str:
    record = line.record
    if not line.shown:
        return ""
    correct, scored = record.counts.get("correct"), record.counts.get("scored")
    counted = f"{scored} examples" if correct is None else f"{correct} of {scored}"
    return f"{line.shown} ({counted})"


def _record(line: RunLine, pool: Pool) -> dict[str, int]:
    numbers = {}
    left = MAX_RECORD
    for name in PARTS:
        value = bounded(getattr(line.record, name))
        if not value:
            continue
        size = len(json.dumps(value))
        if size > left:
            value = {"left out": f"{size:,} characters; result.json has them"}
        else:
            left -= size
        numbers[name] = pool.number(value)
    return numbers


def _config(text: str | None, pool: Pool) -> list[int]:
    """Return the pool's numbers of the top-level blocks of ``text``: runs of a sweep share most."""
    blocks: list[str] = []
    for row in plain(text or "", MAX_CONFIG_BYTES, keep="\n\t").splitlines(keepends=True):
        if blocks and row[0] in " \t-#\n":
            blocks[-1] += row
        else:
            blocks.append(row)
    return [pool.number(block) for block in blocks]
