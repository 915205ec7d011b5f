"""``scripts/status.py``: what the run folders say, once or again and again."""

from __future__ import annotations

import io
import os
import re
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from hydra_peft.checkout import RUNS
from hydra_peft.cli.arguments import parse_arguments
from hydra_peft.cli.guard import guarded
from hydra_peft.cli.terminal import aligned, clean, fitted, width
from hydra_peft.errors import UserError
from hydra_peft.links import missing
from hydra_peft.sweeps.announced import MAX_SECONDS
from hydra_peft.sweeps.durations import duration
from hydra_peft.sweeps.remaining import Remaining
from hydra_peft.sweeps.status import SeenRun, Snapshot, Survey

USAGE = """\
Show what is done, running, to resume, failed and waiting, and when each sweep ends, from the run
folders alone.

python scripts/status.py [watch=true] [every=2] [all=true] [runs=<folder>]

  watch  draw it again and again until Ctrl-C (default: false)
  every  seconds between two drawings (default: 2)
  all    list runs that are done, every waiting job and warning too (default: false)
  runs   where the run folders are (default: results/runs)"""

HOME, CLEAR_LINE, CLEAR_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"
LONGEST_PAUSE = 24 * 3600
#: columns of tables that a narrow terminal has no room for, those first that are missed least
_SPARE = ("on", "id", "examples/s", "loss", "seed", "method")
#: what of a last, long cell is worth showing
_LAST = 20
#: so many waiting jobs, and so many warnings, are listed where not all are asked for
FIRST = 10


@dataclass(frozen=True)
class Settings:
    """The script's arguments."""

    runs: str = str(RUNS)
    watch: bool = False
    every: int = 2
    all: bool = False


def main() -> int:
    """Print what there is; with ``watch=true`` until Ctrl-C, which is no failure."""
    return guarded(_main)


def _main() -> int:
    settings = parse_arguments(Settings, sys.argv[1:], USAGE)
    runs = Path(settings.runs).expanduser()
    if not settings.watch and any(word.startswith("every=") for word in sys.argv[1:]):
        raise UserError("every= is how often watch=true draws: add that, or leave it out.")
    if settings.every > LONGEST_PAUSE:
        raise UserError(f"every={settings.every} is not allowed: at most {LONGEST_PAUSE} seconds.")
    if not runs.is_dir():
        said = missing(runs, "is not a folder")
        raise UserError(f"{said}: train something first, or give runs=<folder>.")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # names may have what the terminal has not
    survey = Survey(runs)
    if not settings.watch:
        print("\n".join(_lines_now(survey.look(), settings, _columns())))
        return 0
    try:
        while True:
            _draw(survey.look(), runs, settings)
            time.sleep(settings.every)
    except KeyboardInterrupt:
        return 0


def _columns() -> int | None:
    """Width of the terminal in columns; None without a terminal, where nothing is cut."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _draw(snapshot: Snapshot, runs: Path, settings: Settings) -> None:
    columns = _columns()
    head = fitted(f"{clean(str(runs))} at {datetime.now():%H:%M:%S}, Ctrl-C ends", columns)
    text = [head, *_lines_now(snapshot, settings, columns)]
    if columns is None or os.environ.get("TERM", "dumb") == "dumb":
        print("\n".join([*text, ""]), flush=True)
        return
    height = shutil.get_terminal_size().lines - 1  # the cursor's line stays free
    if len(text) > height:
        hidden = f"... {len(text) - height + 1} more lines; without watch=true all are shown"
        text = [*text[: max(height - 1, 0)], fitted(hidden, columns)]
    # Each line is written over the one before, so nothing flickers.
    drawn = "".join(f"{line}{CLEAR_LINE}\n" for line in text)
    print(f"{HOME}{drawn}{CLEAR_BELOW}", end="", flush=True)


def _lines_now(snapshot: Snapshot, settings: Settings, columns: int | None) -> list[str]:
    return lines(snapshot, everything=settings.all, columns=columns, now=datetime.now())


def lines(snapshot: Snapshot, *, everything: bool, columns: int | None, now: datetime) -> list[str]:
    """Return ``snapshot`` as lines of text.

    Args:
        everything: list runs that are done, every waiting job and every warning too.
        columns: cut lines to this width; None cuts none.
        now: the local time, from which the end of a sweep is told.
    """
    text = _parted(_counts("", snapshot.counts()), columns)
    searched = snapshot.counts(searching=True)
    if any(searched.values()):
        text += _parted(_counts("search: ", searched), columns)
    shown = FIRST if not everything else max(len(snapshot.runs), len(snapshot.warnings))
    for sweep in snapshot.sweeps[:shown]:
        text += _parted(_sweep(sweep, now), columns)
    text += _more(len(snapshot.sweeps) - shown, "  and {} more sweeps")
    text += [f"warning: {clean(sentence)}" for sentence in snapshot.warnings[:shown]]
    text += _more(len(snapshot.warnings) - shown, "  and {} more warnings")
    text += _section("running", _running(snapshot.of("running")), columns)
    text += _section("failed", _failed(snapshot.of("failed", "diverged")), columns)
    text += _section("to resume", _to_resume(snapshot.of("to resume")), columns)
    waiting = snapshot.of("waiting")
    text += _section("waiting", _waiting(waiting[:shown]), columns)
    text += _more(len(waiting) - shown, "  and {} more")
    if everything:
        text += _section("done", _done(snapshot.of("done")), columns)
    return [fitted(line, columns) for line in text]


def _parted(line: str, columns: int | None) -> list[str]:
    """Return ``line`` in as many lines as ``columns`` ask for, broken after commas and colons."""
    first, *parts = re.split("(?<=[,:]) ", line)
    found = [first]
    for part in parts:
        if columns is None or width(f"{found[-1]} {part}") <= columns:
            found[-1] += f" {part}"
        else:
            found.append(f"  {part}")
    return [*(line.rstrip(",") for line in found[:-1]), found[-1]]


def _counts(title: str, counts: dict[str, int]) -> str:
    return title + ", ".join(f"{state} {count}" for state, count in counts.items())


def _sweep(sweep: Remaining, now: datetime) -> str:
    """Return the progress of a sweep and, while it runs, its expected end."""
    failed = f", {sweep.failed} failed" if sweep.failed else ""
    text = (
        f"sweep of {clean(_when(sweep.started))} UTC: {sweep.done} of {sweep.jobs} done{failed}, "
        f"{sweep.left} left"
    )
    if sweep.seconds is None or sweep.seconds >= MAX_SECONDS:
        return f"{text}, time unknown"
    text = f"{text}, about {duration(sweep.seconds)}"
    if not sweep.running:
        return f"{text}, nothing is running"
    # Clocks may be put forward or back before that.
    end = (now.astimezone(timezone.utc) + timedelta(seconds=sweep.seconds)).astimezone()
    day = f", on {end:%Y-%m-%d}" if end.date() != now.date() else ""
    return f"{text}, ends at {end:%H:%M} local time{day}"


def _more(count: int, sentence: str) -> list[str]:
    return [f"{sentence.format(count)} (all=true lists them)"] if count > 0 else []


Rows = list[tuple[str, ...]]


def _section(title: str, rows: Rows, columns: int | None) -> list[str]:
    """Return a table under its title; ``rows`` begin with the header.

    Columns that have no room in ``columns`` are left out whole, as far as they can be spared.
    """
    if len(rows) < 2:
        return []
    spare = [name for name in _SPARE if name in rows[0]]
    while columns is not None and spare and _needs(rows) > columns:
        place = rows[0].index(spare.pop(0))
        rows = [row[:place] + row[place + 1 :] for row in rows]
    return ["", title, *(f"  {line}" for line in aligned(rows[0], rows[1:]))]


def _needs(rows: Rows) -> int:
    """Return the columns of a terminal that a table needs; of a long last cell some are enough."""
    short = [(*row[:-1], clean(row[-1])[:_LAST]) for row in rows]
    return 2 + max(width(line) for line in aligned(short[0], short[1:]))


def _running(runs: Sequence[SeenRun]) -> Rows:
    rows: Rows = [(*_WHICH, "epoch", "loss", "examples/s", "ETA", "on")]
    for run in runs:
        progress = run.progress
        rows.append(
            (
                *_which(run),
                _epoch(run),
                "-" if progress is None else f"{progress.loss:.4g}",
                "-" if progress is None else f"{progress.images_per_second:.4g}",
                _duration(run.eta),
                run.host or "",
            )
        )
    return rows


def _failed(runs: Sequence[SeenRun]) -> Rows:
    rows: Rows = [(*_WHICH, "cause")]
    for run in runs:
        cause = run.error or "no cause is recorded"
        rows.append((*_which(run), f"diverged: {cause}" if run.state == "diverged" else cause))
    return rows


def _to_resume(runs: Sequence[SeenRun]) -> Rows:
    rows: Rows = [(*_WHICH, "epoch", "cause")]
    rows += [(*_which(run), _epoch(run), run.error or "killed") for run in runs]
    return rows


def _waiting(runs: Sequence[SeenRun]) -> Rows:
    return [(*_WHICH, "overrides"), *((*_which(run), run.overrides) for run in runs)]


def _done(runs: Sequence[SeenRun]) -> Rows:
    rows: Rows = [(*_WHICH, "score", "started (UTC)")]
    for run in runs:
        score = "-" if run.score is None else f"{run.score:.2f}"
        rows.append((*_which(run), score, _when(run.started)))
    return rows


_WHICH = ("task", "method", "seed", "id")


def _which(run: SeenRun) -> tuple[str, ...]:
    task = f"search: {run.task}" if run.searching else run.task
    return task, run.method, str(run.seed), run.config_id


def _epoch(run: SeenRun) -> str:
    epoch = "-" if run.progress is None else str(run.progress.epoch)
    return epoch if run.epochs is None else f"{epoch}/{run.epochs}"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}"


def _when(started: str) -> str:
    try:
        time = datetime.fromisoformat(started)
        return f"{time.astimezone(timezone.utc) if time.tzinfo else time:%Y-%m-%d %H:%M}"
    except (ValueError, OverflowError):
        return started[:16]
