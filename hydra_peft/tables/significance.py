"""How sure measured differences are: intervals over seeds, tests over tasks, wins by task."""

from __future__ import annotations

from typing import Any

import pandas as pd

from hydra_peft.errors import UserError, did_you_mean
from hydra_peft.tables.formats import render
from hydra_peft.tables.pairs import Pair, pairs
from hydra_peft.tables.render import interval_columns, signed, title
from hydra_peft.tables.rows import Row, Summary, Table, summarize
from hydra_peft.tables.sheet import Sheet
from hydra_peft.tables.signed_rank import SignedRank

#: compares all rows
ALL = "all"
_MEANS = ("mean over tasks", "mean over groups")


def documents(tables: list[Table], chosen: str, notes: list[str], form: str) -> dict[str, str]:
    """Return the whole text of each file of ``form``, by ending; the first is to be printed.

    Args:
        tables: measured rows.
        chosen: names of methods or labels of rows with commas between them, or ``all``.
        notes: sentences that concern all tables.
        form: one of :data:`~hydra_peft.tables.formats.FORMATS`.

    Raises:
        UserError: a name that no row has.
    """
    names = _names(tables, chosen)
    found = [(table, rows) for table in tables if (rows := _chosen(table, names))]
    compared = [(table, rows, pairs(table, rows)) for table, rows in found]
    if not any(members for _, _, members in compared):
        notes = [*notes, "no two of these rows are on the same backbone, weights and tasks."]
    sheets = [
        sheet
        for table, rows, members in compared
        for sheet in [
            _spread(table, rows),
            *([_tests(table, members), _by_task(table, members)] * bool(members)),
        ]
    ]
    return render(sheets, lambda: _frame(compared), notes, form)


def _names(tables: list[Table], chosen: str) -> set[str]:
    """Return the names that ``chosen`` lists; labels may have commas of their own."""
    known = {name for table in tables for row in table.rows for name in _called(row)}
    if chosen == ALL:
        return known
    words = [word.strip() for word in chosen.split(",")]
    names: set[str] = set()
    while words:
        taken = next((n for n in range(len(words), 0, -1) if ", ".join(words[:n]) in known), None)
        if taken is None:
            raise UserError(
                f"compare={chosen}: no measured row is called '{words[0]}'"
                f"{did_you_mean(words[0], known)}; there are {', '.join(sorted(known)) or 'none'}."
            )
        names.add(", ".join(words[:taken]))
        words = words[taken:]
    return names


def _called(row: Row) -> tuple[str, str]:
    return row.label, str(row.method.get("name"))


def _chosen(table: Table, names: set[str]) -> dict[str, Row]:
    """Return the rows of ``table`` with one of ``names``, each under a label of its own."""
    rows = [row for row in table.rows if names.intersection(_called(row))]
    found: dict[str, Row] = {}
    for row in rows:
        label = row.label
        if sum(other.label == label for other in rows) > 1:
            label = f"{label}, {row.model}, {row.weights}"
        found[label] = row
    return found


def _spread(table: Table, rows: dict[str, Row]) -> Sheet:
    lines = []
    for label, row in rows.items():
        cells = _summaries(table, row)
        texts = {name: _with_interval(summary) for name, summary in cells.items()}
        lines.append({"method": label, "backbone": f"{row.model}, {row.weights}", **texts})
    below = (
        "Cells: mean ± sample standard deviation [95% interval of the mean by Student's t] "
        "(number of seeds). Intervals are over seeds alone: they say nothing of other test images."
    )
    return Sheet(f"{title(table)}: spread over seeds", pd.DataFrame(lines), below=[below])


def _summaries(table: Table, row: Row) -> dict[str, Summary | None]:
    cells = {task: row.cell(task) for task in table.tasks}
    means = (row.mean_over_tasks(table.tasks), row.mean_over_groups(table.tasks))
    return {**cells, **dict(zip(_MEANS, means, strict=True))}


def _with_interval(summary: Summary | None) -> str:
    if summary is None:
        return "-"
    if summary.std is None or summary.interval is None:
        return f"{summary.mean:.1f} (1)"
    low, high = summary.interval
    return f"{summary.mean:.1f} ± {summary.std:.1f} [{low:.1f}, {high:.1f}] ({summary.count})"


def _tests(table: Table, members: list[Pair]) -> Sheet:
    lines = []
    for pair in members:
        test, over = pair.test, pair.over_tasks
        interval = over.interval if over else None
        lines.append(
            {
                "pair": _vs(pair),
                "tasks": f"{len(pair.differences)}",
                "mean difference": signed(over.mean, 2) if over else "-",
                "95% interval": f"[{signed(interval[0], 2)}, {signed(interval[1], 2)}]"
                if interval
                else "-",
                "seeds": f"{over.count}" if over else "0",
                "wins-ties-losses": _score(pair.tasks_won),
                "Wilcoxon W": "-" if test.statistic is None else f"{test.statistic:g}",
                "p": "-" if test.p is None else f"{test.p:.2g}",
                "n": f"{test.pairs}",
                "found by": _how(test),
            }
        )
    below = [
        "Differences: first - second in percent points, seed by seed where both rows have the "
        "seed, then the mean over tasks; its 95% interval is Student's t over seeds. "
        "Wins-ties-losses: tasks on which the first is better, equal, worse by that mean.",
        "Wilcoxon W and p: signed-rank test over the tasks' mean differences, two-sided; n counts "
        "the tasks that differ. It asks whether one method is better across tasks like these, and "
        "takes each task for one independent pair, whatever its number of seeds.",
    ]
    if len(members) > 1:
        below.append(f"p is not corrected for {len(members)} comparisons.")
    below += [
        f"{_vs(pair)}: no seed in common on {', '.join(pair.left_out)}, left out."
        for pair in members
        if pair.left_out
    ]
    return Sheet(f"{title(table)}: differences", pd.DataFrame(lines), below=below)


def _how(test: SignedRank) -> str:
    if not test.pairs:
        return "nothing differs"
    if test.too_small:
        return f"{test.method}; too few tasks: no p below {test.lowest_p:.2g} is possible"
    return test.method


def _by_task(table: Table, members: list[Pair]) -> Sheet:
    lines = []
    for pair in members:
        cells = {
            task: f"{signed(pair.mean(task), 1)} ({_score(pair.seeds_won(task))})"
            if task in pair.differences
            else "-"
            for task in table.tasks
        }
        lines.append({"pair": _vs(pair), **cells})
    below = "Cells: mean difference in percent points (seeds won-tied-lost by the first)."
    return Sheet(f"{title(table)}: differences by task", pd.DataFrame(lines), below=[below])


def _vs(pair: Pair) -> str:
    return f"{pair.first} vs {pair.second}"


def _score(won: tuple[int, int, int]) -> str:
    return "-".join(map(str, won))


def _frame(compared: list[tuple[Table, dict[str, Row], list[Pair]]]) -> pd.DataFrame:
    """Return means and differences in long form; a mean has no second row."""
    lines: list[dict[str, Any]] = []
    for table, rows, members in compared:
        context = {
            key: getattr(table, key)
            for key in ("benchmark", "protocol", "trained_on", "split", "selection")
        }
        for label, row in rows.items():
            lines += [
                {**context, "first": label, "second": None, "task": task, **_numbers(summary)}
                for task, summary in _summaries(table, row).items()
            ]
        for pair in members:
            names = {**context, "first": pair.first, "second": pair.second}
            for task, found in pair.differences.items():
                won = _counts(pair.seeds_won(task))
                lines.append({**names, "task": task, **_numbers(summarize(found.values())), **won})
            test = pair.test
            lines.append(
                {
                    **names,
                    "task": _MEANS[0],
                    **_numbers(pair.over_tasks),
                    **_counts(pair.tasks_won),
                    "wilcoxon_n": test.pairs,
                    "wilcoxon_w": test.statistic,
                    "wilcoxon_p": test.p,
                    "wilcoxon_method": test.method,
                }
            )
    frame = pd.DataFrame(lines)
    counts = [c for c in ("wins", "ties", "losses", "wilcoxon_n") if c in frame]
    return frame.astype(dict.fromkeys(counts, "Int64"))


def _numbers(summary: Summary | None) -> dict[str, Any]:
    return {
        "value": summary.mean if summary else None,
        "std": summary.std if summary else None,
        **interval_columns("", summary),
        "seeds": summary.count if summary else 0,
    }


def _counts(won: tuple[int, int, int]) -> dict[str, int]:
    return dict(zip(("wins", "ties", "losses"), won, strict=True))
