"""From a collection to the page's views."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timezone
from pathlib import Path

from hydra_peft.report.costs import cost_tables
from hydra_peft.report.details import run_details
from hydra_peft.report.findings import findings
from hydra_peft.report.missing import Options, beside, gaps
from hydra_peft.report.mistakes import Mistakes, embed_mistakes
from hydra_peft.report.page import Page
from hydra_peft.report.paper import paper_view
from hydra_peft.report.pictures import Picture, embed
from hydra_peft.report.run_lines import run_lines
from hydra_peft.report.scores import ScoreTable, score_table
from hydra_peft.report.summary import facts, leaders
from hydra_peft.runs.collection import Collection
from hydra_peft.runs.record import Record
from hydra_peft.tables.grouping import build_tables
from hydra_peft.tables.rows import Table
from hydra_peft.tables.side_by_side import SideBySide


def build_page(
    runs: Path,
    collection: Collection,
    *,
    options: Options,
    sides: list[SideBySide],
    pictures: list[Picture],
    notes: list[str],
    undrawn: list[str],
    fill: Path | None,
    mistakes: Mistakes | None = None,
) -> Page:
    """Compute the content of the report on ``collection``.

    Args:
        runs: where the run folders are.
        collection: what was found there.
        options: what commands call tasks and models.
        sides: comparisons with the paper.
        pictures: figures.
        notes: sentences on comparisons and on what was chosen.
        undrawn: sentences on figures that these runs do not give.
        fill: the folder that commands name; None where they need not.
        mistakes: of the best run of each task.
    """
    lines = run_lines(runs, collection)
    tables, apart = build_tables(
        collection.records, defaults=collection.defaults, benchmarks=collection.benchmarks
    )
    details, unread = run_details(lines, fill)
    # How many did not complete is said in more words; paths are told from the runs' folder on.
    reading = [
        sentence.replace(f"{runs}/", "")
        for sentence in [*collection.warnings, *unread]
        if not sentence.startswith("runs that did not complete")
    ]
    return Page(
        written=f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC",
        source=str(runs),
        statuses=Counter(line.status for line in lines),
        findings=findings(
            lines,
            gaps(tables, options, fill),
            beside(tables, options, fill),
            reading,
            [*apart, *notes],
            undrawn,
        ),
        facts=facts(lines),
        leaders=leaders(tables),
        scores=[_scores(table, collection.records) for table in tables],
        costs=cost_tables(
            tables, {id(run.record): run.adapter_size for run in collection.completed}
        ),
        paper=[paper_view(side) for side in sides],
        pictures=[embed(picture) for picture in pictures],
        mistakes=embed_mistakes(mistakes),
        runs=lines,
        details=details,
    )


def _scores(table: Table, records: list[Record]) -> ScoreTable:
    here = [r for r in records if (r.benchmark, r.protocol) == (table.benchmark, table.protocol)]
    return score_table(table, sorted({str(r.data.get("lineage") or "not stated") for r in here}))
