"""The paper's Table 4, training time, beside what ``scripts/bench.py table4`` found last."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from hydra_peft.commands import command
from hydra_peft.errors import UserError
from hydra_peft.files import read_json
from hydra_peft.tables.deviations import fixed
from hydra_peft.tables.formats import render
from hydra_peft.tables.published import Number, PublishedTable
from hydra_peft.tables.sheet import Sheet

NUMBER = 4
CSV = "table4_training_time.csv"
TITLE = "training time"
_FULL = "Full tuning"
_ROWS = (_FULL, "LoRA", "SeqLoRA", "Hydra")
#: printed numbers by row and column
_Published = Mapping[str, Mapping[str, Number | None]]
_TIME, _RATIO = "training time (s/epoch)", "ratio to full tuning"


@dataclass(frozen=True)
class Timing:
    """One file of that suite.

    Attributes:
        path: the file.
        label: ``measured`` or ``predicted``.
        when: UTC time, ISO 8601; empty in a file that does not say.
        seconds: of one epoch, by the published row's label.
        parameters: what is trained, without the head, by the same.
        about: hardware, versions and commit, a sentence each.
        notes: the suite's own.
    """

    path: Path
    label: str
    when: str
    seconds: dict[str, float]
    parameters: dict[str, int]
    about: list[str]
    notes: list[str]


def newest_timing(folder: Path) -> tuple[Timing | None, list[str]]:
    """Return the newest ``table4-*.json`` in ``folder``; and a sentence for each unusable one."""
    found: list[Timing] = []
    warnings = []
    for path in sorted(folder.glob("table4-*.json")):
        if path.name.endswith(".incomplete.json"):
            continue  # of a suite that goes on, or was interrupted
        try:
            found.append(_timing(path))
        except UserError as error:
            warnings.append(f"left out: {error}")
    return max(found, key=lambda timing: timing.when, default=None), warnings


def _timing(path: Path) -> Timing:
    content = read_json(path)
    try:
        rows = {row["method"]: row for row in content["rows"]}
        seconds = {name: float(rows[name]["s/epoch"]) for name in _ROWS}
        parameters = {name: int(rows[name]["parameters"]) for name in _ROWS}
        label, notes = str(content["label"]), [str(note) for note in content["notes"]]
        about = _about(content)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        raise UserError(f"{path} is not what {_command()} writes: edited?") from None
    if not all(0 < value < math.inf for value in seconds.values()):
        raise UserError(f"{path} has times that are none: edited?")
    return Timing(path, label, str(content.get("when", "")), seconds, parameters, about, notes)


def _about(content: Mapping[str, Any]) -> list[str]:
    hardware, versions, code = content["hardware"], content["versions"], content["code"]
    settings = content["settings"]
    place = hardware["gpu"] or f"{hardware['cpu']}, {hardware['cores']} cores"
    dirty = " with changes that are not committed" if code.get("dirty") else ""
    return [
        f"hardware: {place} ({hardware['device']}); versions: torch {versions['torch']}, timm "
        f"{versions['timm']}, python {versions['python']}; commit {code.get('commit')}{dirty}; "
        f"{content.get('when') or 'no date'}.",
        "settings: " + ", ".join(f"{key}={value}" for key, value in settings.items()) + ".",
    ]


def documents(
    published: PublishedTable, timing: Timing | None, notes: list[str], form: str
) -> dict[str, str]:
    """Return the whole text of each file of ``form``, by ending; the first is to be printed.

    Raises:
        UserError: the published table has other rows.
    """
    rows = {row.label: row.numbers for row in published.rows}
    lacking = [name for name in _ROWS if not rows.get(name, {}).get("seconds_per_epoch")]
    if lacking:
        raise UserError(f"{published.path} lacks {', '.join(lacking)}: edited?")
    lines: list[dict[str, str]] = []
    rules = []
    for name in _ROWS:
        lines += _lines(name, rows, timing)
        rules.append(len(lines) - 1)
    beside = f" beside {timing.label}" if timing else ": nothing measured yet"
    sheet = Sheet(
        f"Table {NUMBER} of the paper ({TITLE}){beside}",
        pd.DataFrame(lines),
        rules_after=rules,
        below=_below(timing),
    )
    return render([sheet], lambda: _frame(rows, timing), notes, form)


def _seconds(rows: _Published, name: str) -> float:
    number = rows[name]["seconds_per_epoch"]
    assert number is not None, "looked at before"
    return number.value


def _lines(name: str, rows: _Published, timing: Timing | None) -> list[dict[str, str]]:
    size, seconds = rows[name].get("params_m"), rows[name]["seconds_per_epoch"]
    paper = {
        "row": f"{name} (paper, RTX 3090)",
        "parameters (M)": size.text if size else "-",
        _TIME: seconds.text if seconds else "-",
        _RATIO: fixed(_seconds(rows, name) / _seconds(rows, _FULL), 2),
    }
    if timing is None:
        return [paper]
    own = {
        "row": f"{name} ({timing.label})",
        "parameters (M)": f"{timing.parameters[name] / 1e6:.2f}",
        _TIME: f"{timing.seconds[name]:.2f}",
        _RATIO: fixed(timing.seconds[name] / timing.seconds[_FULL], 2),
    }
    return [paper, own]


def _frame(rows: _Published, timing: Timing | None) -> pd.DataFrame:
    lines = []
    for name in _ROWS:
        size, seconds = rows[name].get("params_m"), _seconds(rows, name)
        line: dict[str, Any] = {
            "table": NUMBER,
            "row": name,
            "paper_parameters_m": size.value if size else None,
            "paper_seconds": seconds,
            "paper_ratio": seconds / _seconds(rows, _FULL),
        }
        own: dict[str, Any] = dict.fromkeys(("label", "parameters", "seconds", "ratio", "file"))
        if timing:
            ratio = timing.seconds[name] / timing.seconds[_FULL]
            numbers = (timing.parameters[name], timing.seconds[name], ratio)
            own = dict(zip(own, (timing.label, *numbers, timing.path.name), strict=True))
        lines.append({**line, **own})
    return pd.DataFrame(lines)


def _below(timing: Timing | None) -> list[str]:
    lines = [
        "paper: arXiv 2309.06922 as printed: CIFAR10, one RTX 3090, batch 128, ViT-B/32 at 224 "
        "pixels, mean of 10 epochs. Seconds on other machines say nothing beside it, ratios may.",
        "note: the paper names ViT-B/32 and prints 85.8 M for full tuning, which is ViT-B/16's; "
        "ViT-B/32 has 87.5 M.",
    ]
    if timing is None:
        return [
            *lines,
            f"nothing timed yet: `{_command()}` writes results/benchmarks/table4-*.json.",
        ]
    source = f"{timing.label}: {timing.path.name}; again: `{_command()}`."
    ratios = (
        "ratios in the table are quotients of its times; those below are of the times of one "
        "round, median (least to greatest), which other work on the machine changes less."
    )
    return [*lines, source, *timing.about, ratios, *timing.notes]


def _command() -> str:
    return f"{command('bench')} table4"
