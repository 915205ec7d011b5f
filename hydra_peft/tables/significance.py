"""Significance of measured differences: intervals over seeds, tests over tasks, wins by task."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pandas as pd

from hydra_peft.plain_text import rounded, rounded_end, shortened_apart
from hydra_peft.tables.called import PAIR, named_rows, names_by_row
from hydra_peft.tables.formats import render
from hydra_peft.tables.measures import Measure
from hydra_peft.tables.pairs import Pair, pairs
from hydra_peft.tables.parts import Part, bounds_sentence, measures_sentence, parts, task_titles
from hydra_peft.tables.render import interval_columns, part_name, part_title
from hydra_peft.tables.rows import Row, Table
from hydra_peft.tables.sheet import Sheet, cut_note
from hydra_peft.tables.signed_rank import SignedRank
from hydra_peft.tables.strays import Strays, strays
from hydra_peft.tables.summaries import Summary, summarize_differences

#: compares all rows
ALL = "all"
#: what the signed-rank test over tasks is of
_OVER_TASKS = "mean over tasks"


def documents(
    tables: list[Table],
    chosen: str,
    notes: list[str],
    form: str,
    leaving_out: Callable[[str], str] = lambda _: "",
) -> dict[str, str]:
    """Return the whole text of each file of ``form``, by ending; the first is to be printed.

    Args:
        tables: measured rows.
        chosen: names of methods or labels of rows with commas between them, or ``all``. What shares
            too little with the others is left out unless it is named.
        notes: sentences that concern all tables.
        form: one of :data:`~hydra_peft.tables.formats.FORMATS`.
        leaving_out: says of a name that no row has what leaves its runs out, empty for nothing.

    Raises:
        UserError: see :func:`~hydra_peft.tables.called.named_rows`.
    """
    measured = [part for table in tables for part in parts(table)]
    names = None if chosen == ALL else named_rows("compare", chosen, measured, leaving_out)
    found = [one for part in measured if (one := _chosen(part, names))]
    compared = [(one.shared, _pairs(one.shared)) for one in found]
    if sum(len(one.shared.table.rows) for one in found) == 1 and chosen != ALL:
        alone = f"compare={chosen} is of one row: name others beside it, or compare={ALL}."
        notes = [*notes, alone]
    elif not any(members for _, members in compared):
        notes = [*notes, "no two of these rows are on the same backbone, weights and tasks."]
    elif names:
        notes = [*notes, *_apart([part for part, _ in compared], names)]
    sheets = [
        sheet
        for one, (part, members) in zip(found, compared, strict=True)
        for sheet in [
            _spread(one, members),
            *([_tests(part, members), _by_task(part, members)] if members else []),
        ]
    ]
    return render(sheets, lambda: _frame(compared), notes, form)


def _apart(found: Sequence[Part], names: set[str]) -> list[str]:
    """Say which two of ``names`` have their rows in no part in common."""
    called = [set().union(*names_by_row(part).values()) for part in found]
    apart = [
        f"{first} and {second}"
        for first, second in itertools.combinations(sorted(names), 2)
        if not any({first, second} <= names_there for names_there in called)
    ]
    why = "they have no table in common, as rows of other backbones, weights or protocols have none"
    return [f"not compared: {'; '.join(apart)}: {why}."] if apart else []


def _chosen(part: Part, names: set[str] | None) -> Strays | None:
    """Return the rows of ``part`` that have one of ``names``, without strays that are not meant.

    A label means its row, whatever it shares; a method means its rows that are no strays, if it has
    any. Without ``names`` all rows but strays. None where ``part`` has no such row.
    """
    meant: dict[str, list[Row]] = {name: [] for name in names or ()}
    called = names_by_row(part)
    for row in part.table.rows:
        for name in meant.keys() & called[id(row)]:
            meant[name].append(row)
    own = {id(row) for rows in meant.values() for row in rows}
    own |= {id(row) for row in part.table.rows if names is None}
    rows = [row for row in part.table.rows if id(row) in own]
    if not rows:
        return None
    tasks = [task for task in part.table.tasks if any(task in row.scores for row in rows)]
    cut = part.only(rows, tasks)
    apart = {id(row) for row in strays(cut, least=2).rows}
    asked = {
        id(row)
        for members in meant.values()
        for row in members
        if all(id(other) in apart for other in members)
    }
    return strays(cut, asked, least=2)


def _pairs(part: Part) -> list[Pair]:
    return pairs(part.table, dict(zip(part.labels, part.table.rows, strict=True)))


def _spread(chosen: Strays, members: list[Pair]) -> Sheet:
    part, lines = chosen.shared, []
    for label, row in zip(part.labels, part.table.rows, strict=True):
        cells = _summaries(part, row, part.mean_titles).values()
        shown = zip(part.titles, part.measures, cells, strict=True)
        lines.append({"method": label, **{n: _with_interval(cell, m) for n, m, cell in shown}})
    over = part.table.about.over_seeds
    below = (
        f"Cells: {over} ± sample standard deviation [95% interval of the {over}] (number of "
        f"seeds). {bounds_sentence(part.table)} They are over seeds alone: they say nothing of "
        "other test examples."
    )
    said = [
        *chosen.sentence,
        *_alone(part, members),
        *part.means_sentence,
        *part.split_sentence,
        below,
        *measures_sentence(part.table),
    ]
    return _sheet(part, "spread over seeds", lines, said)


def _alone(part: Part, members: list[Pair]) -> list[str]:
    """Name the rows that could be compared, and are in none of ``members``."""
    if len(part.table.rows) == 1:
        return []
    paired = {name for pair in members for name in (pair.first, pair.second)}
    directed = {task for task in part.table.tasks if part.table.measures[task].sign}
    names = [
        f"{label} (on {', '.join(row.scores)})"
        for label, row in zip(part.labels, part.table.rows, strict=True)
        if label not in paired and directed.intersection(row.scores)
    ]
    why = "no other row here has the same task with the same seed."
    return [f"No differences of {'; '.join(names)}: {why}"] if names else []


def _sheet(part: Part, what: str, lines: list[dict[str, str]], below: list[str]) -> Sheet:
    return Sheet(
        f"{part_title(part)}: {what}",
        pd.DataFrame(lines),
        above=part.settings_sentence,
        below=below,
        name=f"{part_name(part)} {what}",
    )


def _summaries(part: Part, row: Row, means: Iterable[str]) -> dict[str, Summary | None]:
    """Return the cells of ``row`` and its means, which are called ``means``."""
    cells = {task: row.cell(task) for task in part.table.tasks}
    return {**cells, **dict(zip(means, part.means(row), strict=True))}


def _with_interval(summary: Summary | None, measure: Measure) -> str:
    if summary is None:
        return "-"
    digits = measure.decimals()
    mean = rounded(summary.value, digits)
    said = [mean, *([f"± {summary.std:.{digits}f}"] if summary.std is not None else [])]
    if summary.interval:
        low, high = (rounded(end, digits) for end in summary.interval)
        said.append(f"[{low}, {high}]")
    return " ".join([*said, f"({summary.count})"])


def _interval(ends: tuple[float, float], digits: int) -> str:
    low, high = (rounded_end(end, digits) for end in ends)
    return f"[{low}, {high}]"


def _tests(part: Part, members: list[Pair]) -> Sheet:
    below = [
        f"Differences: {_differences(part)}, of each seed that both rows have on all of their "
        "tasks the mean over these; its 95% interval is Student's t over seeds, cut at the "
        "greatest difference that there can be. Wins-ties-losses: tasks on which the first is "
        "better, equal, worse by its mean over the same seeds.",
        "Wilcoxon W and p: signed-rank test over the tasks' mean differences, two-sided; n counts "
        "the tasks that differ. It asks whether one method is better across tasks like these, and "
        "takes each task for one independent pair, whatever its number of seeds.",
    ]
    if any(pair.test.pairs and pair.test.too_small for pair in members):
        below.append("No p below: of so few tasks that differ there is no smaller one.")
    if len(members) > 1:
        below.append(f"p is not corrected for {len(members)} comparisons.")
    below += _without_seeds(part, members)
    apart = [_vs(part, pair) for pair in members if pair.over_tasks is None]
    why = (
        "the two share no seed with runs on all of their tasks, so that wins and test are over "
        "those that they share on each"
    )
    below += [f"No mean difference of {'; '.join(apart)}: {why}."] * bool(apart)
    others: dict[str, list[str]] = {}
    for pair in members:
        if other := [task for task in pair.differences if task not in pair.compared]:
            others.setdefault(", ".join(other), []).append(_vs(part, pair))
    for tasks, names in others.items():
        where = "" if len(names) == len(members) else f"{'; '.join(names)}: "
        below.append(f"{where}left out, as of another scale: {tasks}.")
    lines = [_test_line(part, pair) for pair in members]
    return _sheet(part, "differences", lines, [*below, *_cut(part)])


def _test_line(part: Part, pair: Pair) -> dict[str, str]:
    test, over = pair.test, pair.over_tasks
    interval = over.interval if over else None
    digits = part.table.measures[pair.compared[0]].decimals(2)
    return {
        "pair": _vs(part, pair),
        "tasks": f"{len(pair.compared)}",
        "mean difference": rounded(over.value, digits, sign=True) if over else "-",
        "95% interval": _interval(interval, digits) if interval else "-",
        "seeds": f"{over.count}" if over else "0",
        "wins-ties-losses": _score(pair.tasks_won),
        "Wilcoxon W": "-" if test.statistic is None else f"{test.statistic:g}",
        "p": "-" if test.p is None else f"{test.p:.2g}",
        "n": f"{test.pairs}",
        "found by": _how(test),
    }


def _how(test: SignedRank) -> str:
    if not test.pairs:
        return "nothing differs"
    if test.too_small:
        return f"{test.method}; no p below {test.lowest_p:.2g}"
    return test.method


def _by_task(part: Part, members: list[Pair]) -> Sheet:
    lines = []
    for pair in members:
        cells = {
            title: f"{_gain(part, pair, task)} ({_score(pair.seeds_won(task))})"
            if task in pair.differences
            else "-"
            for title, task in zip(task_titles(part.table), part.table.tasks, strict=True)
        }
        lines.append({"pair": _vs(part, pair), **cells})
    below = f"Cells: mean of {_differences(part)} (seeds won-tied-lost by the first)."
    uneven = "; ".join(_vs(part, pair) for pair in members if pair.uneven)
    more = (
        "Each task is over all seeds that both rows have on it, which are more than those of "
        f"the differences over tasks for {uneven}."
    )
    said = [below, *[more] * bool(uneven), *measures_sentence(part.table), *_cut(part)]
    return _sheet(part, "differences by task", lines, said)


def _differences(part: Part) -> str:
    """Say what a difference is, in which direction and unit."""
    measures = part.table.own_measures
    points = " in percent points" * all(measure.in_percent for measure in measures)
    reversed_ = [measure.title for measure in measures if measure.sign < 0]
    turned = f" (of {', '.join(reversed_)}, where lower is better, second - first)"
    return f"first - second{points}{turned * bool(reversed_)}"


def _gain(part: Part, pair: Pair, task: str) -> str:
    digits = part.table.measures[task].decimals()
    return rounded(pair.mean(task), digits, sign=True)


def _vs(part: Part, pair: Pair) -> str:
    """Return the names of a pair, each cut on its own where it is long."""
    names = dict(zip(part.labels, shortened_apart(part.labels, PAIR), strict=True))
    return f"{names[pair.first]} vs {names[pair.second]}"


def _cut(part: Part) -> list[str]:
    return [cut_note(PAIR)] if any(len(label) > PAIR for label in part.labels) else []


def _without_seeds(part: Part, members: list[Pair]) -> list[str]:
    """Say which tasks are left out of differences: by row where one has no run, else by pair."""
    rows = dict(zip(part.labels, part.table.rows, strict=True))
    names = dict(zip(part.labels, shortened_apart(part.labels, PAIR), strict=True))
    lacking: dict[str, dict[str, None]] = {}
    apart: dict[str, list[str]] = {}
    for pair in members:
        for task in pair.left_out:
            absent = [
                label for label in (pair.first, pair.second) if task not in rows[label].scores
            ]
            lacking.setdefault(task, {}).update(dict.fromkeys(names[label] for label in absent))
            if not absent:
                apart.setdefault(task, []).append(_vs(part, pair))
    said = [
        f"No run on {task}, which is left out of their differences: {'; '.join(labels)}."
        for task, labels in lacking.items()
        if labels
    ]
    return [
        *said,
        *(f"No seed in common on {t}, left out: {'; '.join(found)}." for t, found in apart.items()),
    ]


def _score(won: tuple[int, int, int]) -> str:
    return "-".join(map(str, won))


def _frame(compared: list[tuple[Part, list[Pair]]]) -> pd.DataFrame:
    """Return means and differences in long form; a mean has no second row.

    ``tasks`` are those that a line is over, as the command line takes them.
    """
    lines: list[dict[str, Any]] = []
    for part, members in compared:
        table = part.table
        context: dict[str, Any] = {
            key: getattr(table, key)
            for key in ("benchmark", "protocol", "trained_on", "split", "selection")
        }
        context |= {"model": table.rows[0].model, "weights": table.rows[0].weights}
        for row in table.rows:
            names = {**context, "first": row.label, "second": None}
            for task, summary in _summaries(part, row, part.table.means).items():
                over = part.averaged if task in part.table.means else (task,)
                lines.append({**names, "task": task, "tasks": ",".join(over), **_numbers(summary)})
        rows = dict(zip(part.labels, table.rows, strict=True))
        for pair in members:
            names = {**context, "first": rows[pair.first].label, "second": rows[pair.second].label}
            lines += [{**names, **line} for line in _pair_lines(pair)]
    frame = pd.DataFrame(lines)
    counts = [c for c in ("wins", "ties", "losses", "wilcoxon_n") if c in frame]
    return frame.astype(dict.fromkeys(counts, "Int64"))


def _pair_lines(pair: Pair) -> list[dict[str, Any]]:
    lines = [
        {
            "task": task,
            "tasks": task,
            **_numbers(summarize_differences(found.values(), pair.widths[task])),
            **_counts(pair.seeds_won(task)),
        }
        for task, found in pair.differences.items()
    ]
    test = pair.test
    over = {
        "task": _OVER_TASKS,
        "tasks": ",".join(pair.compared),
        **_numbers(pair.over_tasks),
        **_counts(pair.tasks_won),
        "wilcoxon_n": test.pairs,
        "wilcoxon_w": test.statistic,
        "wilcoxon_p": test.p,
        "wilcoxon_method": test.method,
    }
    return [*lines, over]


def _numbers(summary: Summary | None) -> dict[str, Any]:
    return {
        "value": summary.value if summary else None,
        "std": summary.std if summary else None,
        **interval_columns("", summary),
        "seeds": summary.count if summary else 0,
    }


def _counts(won: tuple[int, int, int]) -> dict[str, int]:
    return dict(zip(("wins", "ties", "losses"), won, strict=True))
