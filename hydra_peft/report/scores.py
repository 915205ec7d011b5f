"""Tables of scores as a page shows them: cells with mean, deviation and rank, by backbone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from hydra_peft.plain_text import rounded
from hydra_peft.report.run_lines import Badge
from hydra_peft.tables.labels import PARTIAL, RANDOM
from hydra_peft.tables.mean_heads import heads_sentence, mean_head
from hydra_peft.tables.measures import Measure, axis
from hydra_peft.tables.parts import Part, measures_sentence, parts
from hydra_peft.tables.render import seeds, sizes_sentence
from hydra_peft.tables.rows import Row, Table
from hydra_peft.tables.summaries import Summary

#: in the place of a number
MISSING = "\u2013"
#: as many as are printed; what is equal there shares a rank
_DECIMALS = 1


@dataclass(frozen=True)
class Cell:
    """One number of a table.

    Attributes:
        value: to sort by; None where a run is missing.
        mean, deviation: as shown; the deviation is empty for one seed.
        count: number of seeds; shown where it is not that of most cells of the table.
        rank: 1 for the best of the column among rows on one backbone, 2 for the second, else 0.
    """

    value: float | None
    mean: str
    deviation: str
    count: int
    rank: int


@dataclass(frozen=True)
class Count:
    """Parameters of a row: what to sort by, and the text, a range where it has several sizes."""

    value: int
    text: str


@dataclass(frozen=True)
class Line:
    """One row: its label, its cells in the order of the columns, seeds and parameters."""

    label: str
    cells: list[Cell]
    seeds: str
    adapter: Count
    with_head: Count


@dataclass(frozen=True)
class Body:
    """Rows of one :class:`~hydra_peft.tables.parts.Part`, which alone are ranked to each other.

    Attributes:
        backbone: what all of them are on.
        sentences: settings that all of them share, and what means are over if not over all tasks.
    """

    backbone: str
    sentences: list[str]
    lines: list[Line]


@dataclass(frozen=True)
class ScoreTable:
    """One table.

    Attributes:
        title: benchmark and protocol.
        badges: what all of its runs share.
        columns: titles and what is said below them: group, and metric where tasks differ in it; the
            benchmark's means last.
        sentences: what is to be known of the metrics.
        spread: whether a cell has a deviation.
        count: number of seeds of most cells.
        uneven: by column, whether a cell has another number.
    """

    title: str
    badges: list[Badge]
    columns: list[tuple[str, str]]
    sentences: list[str]
    parts: list[Body]
    spread: bool
    count: int
    uneven: list[bool]


def score_table(table: Table, lineages: list[str]) -> ScoreTable:
    """Return ``table`` as a page shows it; ``lineages`` are those of its data."""
    cut = parts(table)
    titles = {part.mean_titles for part in cut}
    means = titles.pop() if len(titles) == 1 else tuple(table.means)
    columns = [*_headed(table), *((name, "") for name in means)]
    bodies = [
        Body(
            part.backbone,
            [*part.sentences, *_own_means(part, cut), *heads_sentence(part)],
            _lines(part, table),
        )
        for part in cut
    ]
    counts = Counter(cell.count for body in bodies for line in body.lines for cell in line.cells)
    del counts[0]
    badges = [
        Badge(axis(table.own_measures), "plain", "what scores are"),
        Badge(f"protocol {table.protocol}", "plain", "how epochs and hyper-parameters are chosen"),
        Badge(table.learnt, "plain", "the split that was learnt from"),
        Badge(f"scored on {table.split}", "plain", "the split that scores are of"),
        *([Badge(table.selection, "plain", "which epoch counts")] if table.trains else []),
        *(Badge(f"data {lineage}", "plain", "how the data came here") for lineage in lineages),
    ]
    if table.selected_on_test:
        badges.append(
            Badge("selected on the test set", "caution", "no estimate of what new examples give")
        )
    if any(row.weights == RANDOM for row in table.rows):
        badges.append(Badge(RANDOM, "caution", "some backbones were not pretrained"))
    if any(row.partial for row in table.rows):
        badges.append(Badge(PARTIAL, "caution", "some runs had not the whole data"))
    title = f"{table.benchmark}, protocol {table.protocol}"
    usual = counts.most_common(1)[0][0]
    cells = [line.cells for body in bodies for line in body.lines]
    uneven = [
        any(cell.count not in (0, usual) for cell in column) for column in zip(*cells, strict=True)
    ]
    over = table.about.over_seeds
    said = [f"Cells: {over} over seeds."] * (over != "mean") + sizes_sentence(table.rows)
    said += measures_sentence(table)
    return ScoreTable(title, badges, columns, said, bodies, max(counts) > 1, usual, uneven)


def _own_means(part: Part, all_parts: Sequence[Part]) -> list[str]:
    """Say which tasks the means of ``part`` are over, where other parts have others below the same
    titles."""
    if part.means_sentence or len({tuple(other.averaged) for other in all_parts}) == 1:
        return []
    return [f"Means are over {', '.join(part.averaged)}."]


def _headed(table: Table) -> list[tuple[str, str]]:
    several = len(table.own_measures) > 1
    return [
        (task, ", ".join([group, *[table.measures[task].title] * several]))
        for task, group in table.tasks.items()
    ]


def _lines(part: Part, table: Table) -> list[Line]:
    lines = []
    rows = zip(part.table.rows, part.labels, part.ranked_cells(_DECIMALS), strict=True)
    for row, label, found in rows:
        own = len(part.table.tasks)
        by_task = dict(zip(part.table.tasks, found[:own], strict=True))
        wide = [by_task.get(task, (None, None)) for task in table.tasks]
        measures = [*(table.measures[task] for task in table.tasks), *part.measures[own:]]
        lines.append(
            Line(
                label=label,
                cells=[
                    _cell(x, rank or 0, measure)
                    for measure, (x, rank) in zip(measures, [*wide, *found[own:]], strict=True)
                ],
                seeds=seeds(row),
                adapter=_parameters(row),
                with_head=_parameters(row, mean_head(part, row)),
            )
        )
    return lines


def _parameters(row: Row, head: float = 0.0) -> Count:
    return Count(round(row.adapter + head), row.parameters(head))


def _cell(found: Summary | None, rank: int, measure: Measure) -> Cell:
    if found is None:
        return Cell(None, MISSING, "", 0, 0)
    digits = measure.decimals(_DECIMALS)
    deviation = "" if found.std is None else f"{found.std:.{digits}f}"
    return Cell(found.value, rounded(found.value, digits), deviation, found.count, rank)
