"""Warnings that a reader of the report needs before its numbers, gravest first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from hydra_peft.plain_text import counted
from hydra_peft.report.missing import Beside, Gap
from hydra_peft.report.run_lines import DIRTY, NO_COMMIT, ON_TEST, RunLine
from hydra_peft.runs.collection import KILLED
from hydra_peft.tables.labels import PARTIAL, RANDOM

#: entries that are listed; the others are counted
MOST_ITEMS = 40
PROBLEM, CAUTION, NOTE = "problem", "caution", "note"
_GOES_ON = "typing the same command again goes on where it stopped."
#: ends of runs that have no score: status, level, meaning
_ENDS = (
    ("failed", PROBLEM, "no result, and a cause to mend."),
    ("diverged", PROBLEM, "the loss stopped being a number, so there is no result."),
    ("interrupted", CAUTION, _GOES_ON),
    (KILLED, CAUTION, f"nobody is at it; {_GOES_ON}"),
)
_BEST_OF_TEST = "the epoch with the best test score is no estimate of what new examples give."
#: marks of runs: mark, title, meaning
_MARKS = (
    (ON_TEST, "selected on the test set", _BEST_OF_TEST),
    (RANDOM, f"on {RANDOM}", "the backbone was not pretrained; kept in rows of their own."),
    (PARTIAL, f"on {PARTIAL}", "part of the data only; kept in rows of their own."),
)
_UNCOMMITTED = "changes were not committed: the commit does not name the code."
_CODE_MARKS = (
    (DIRTY, "of a dirty commit", _UNCOMMITTED),
    (NO_COMMIT, "without a commit", "which code ran is not recorded."),
)


@dataclass(frozen=True)
class Item:
    """One case: a sentence, the key of the run it is of, the command that mends it."""

    text: str
    key: str = ""
    command: str = ""


@dataclass(frozen=True)
class Finding:
    """One kind of warning.

    Attributes:
        level: ``problem``, ``caution`` or ``note``.
        title: what is the matter, with the number of cases.
        meaning: what it does to the numbers.
        items: the cases, at most :data:`MOST_ITEMS`.
        more: how many further ones there are.
    """

    level: str
    title: str
    meaning: str
    items: list[Item] = field(default_factory=list)
    more: int = 0


def findings(
    lines: list[RunLine],
    gaps: list[Gap],
    besides: list[Beside],
    reading: Iterable[str],
    notes: Iterable[str],
    undrawn: Iterable[str],
) -> list[Finding]:
    """Return all warnings of a report.

    Args:
        lines: all runs.
        gaps: rows that lack runs.
        besides: what shares too little with the others to be compared.
        reading: sentences on what could not be read.
        notes: sentences of the tables, on what they keep apart.
        undrawn: sentences on figures that these runs do not give.
    """
    found = [
        _unreadable(list(reading)),
        *(_ended(lines, *end) for end in _ENDS),
        *(_marked(lines, *mark) for mark in _MARKS),
        _gaps(gaps),
        *(_marked(lines, *mark) for mark in _CODE_MARKS),
        _commits(lines),
        _protocols(lines),
        _ended(lines, "running", NOTE, "going on while this report was written."),
        _besides(besides),
        _notes(list(notes)),
        _undrawn(list(undrawn)),
    ]
    order = (PROBLEM, CAUTION, NOTE)
    return sorted((one for one in found if one), key=lambda one: order.index(one.level))


def _finding(level: str, title: str, meaning: str, items: list[Item]) -> Finding | None:
    if not items:
        return None
    return Finding(level, title, meaning, items[:MOST_ITEMS], max(0, len(items) - MOST_ITEMS))


def _runs(count: int) -> str:
    return counted(count, "run")


def _name(line: RunLine) -> str:
    record = line.record
    return f"{record.benchmark}/{record.task}, {line.label}, seed {record.seed}"


def _unreadable(reading: list[str]) -> Finding | None:
    items = [Item(sentence.removeprefix("left out: ")) for sentence in reading]
    they = "it is" if len(items) == 1 else "they are"
    title = f"{counted(len(items), 'thing')} could not be read as {they}"
    return _finding(PROBLEM, title, "the rest of the report stands without them.", items)


def _ended(lines: list[RunLine], status: str, level: str, meaning: str) -> Finding | None:
    found = [line for line in lines if line.status == status]
    items = [Item(f"{_name(line)}: {line.cause}", line.key) for line in found]
    return _finding(level, f"{_runs(len(items))} {status}", meaning, items)


def _marked(lines: list[RunLine], mark: str, what: str, meaning: str) -> Finding | None:
    items = [Item(_name(line), line.key) for line in lines if line.is_marked(mark)]
    return _finding(CAUTION, f"{_runs(len(items))} {what}", meaning, items)


def _gaps(gaps: list[Gap]) -> Finding | None:
    items = [
        Item(
            f"{gap.where}: {gap.label} lacks {gap.listed}"
            + ("" if gap.command else ". Its settings are not all known: type its sweep again."),
            command=gap.command or "",
        )
        for gap in gaps
    ]
    cells = sum(gap.cells for gap in gaps)
    meaning = "every row has its means; these would add seeds or tasks to them."
    if any(gap.bare for gap in gaps):
        meaning = "a row without one seed on all the tasks of the means has no mean."
    return _finding(CAUTION, f"{_runs(cells)} missing in the tables", meaning, items)


def _besides(besides: list[Beside]) -> Finding | None:
    items = [Item(f"{one.where}: {one.text}", command=one.command or "") for one in besides]
    title = f"{counted(len(items), 'stray row, task or seed', 'stray rows, tasks or seeds')}"
    meaning = "too little is shared with the others to compare it; it costs them no mean."
    return _finding(NOTE, title, meaning, items)


def _commits(lines: list[RunLine]) -> Finding | None:
    counts = _by(lines, lambda line: str(line.record.code.get("commit") or ""))
    counts.pop("", None)
    if len(counts) < 2:
        return None
    items = [Item(f"{commit[:12]}: {_runs(count)}") for commit, count in counts.items()]
    return _finding(NOTE, f"{len(counts)} commits", "runs of different code are averaged.", items)


def _protocols(lines: list[RunLine]) -> Finding | None:
    benchmarks: dict[str, list[RunLine]] = defaultdict(list)
    for line in lines:
        benchmarks[line.record.benchmark].append(line)
    items = []
    for benchmark, members in benchmarks.items():
        counts = _by(members, lambda line: line.record.protocol)
        if len(counts) > 1:
            listed = ", ".join(f"{name} ({_runs(count)})" for name, count in counts.items())
            items.append(Item(f"{benchmark}: {listed}"))
    meaning = "their numbers do not compare; each has a table of its own."
    return _finding(CAUTION, "Mixed protocols", meaning, items)


def _notes(notes: list[str]) -> Finding | None:
    items = [Item(note) for note in dict.fromkeys(notes)]
    title = f"{counted(len(items), 'note')} on the tables"
    return _finding(NOTE, title, "what was kept apart, and what the data says of itself.", items)


def _undrawn(undrawn: list[str]) -> Finding | None:
    items = [Item(sentence) for sentence in undrawn]
    title = f"{counted(len(items), 'figure')} not drawn"
    them = "it" if len(items) == 1 else "them"
    return _finding(NOTE, title, f"these runs do not give what is in {them}.", items)


def _by(lines: Iterable[RunLine], key: Callable[[RunLine], str]) -> dict[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for line in lines:
        counts[key(line)] += 1
    return dict(sorted(counts.items(), key=lambda item: -item[1]))
