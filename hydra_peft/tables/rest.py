"""The command that trains what a comparison with the paper still lacks."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from hydra_peft.config.quoting import override_value
from hydra_peft.tables.paper_tables import PaperTable
from hydra_peft.tables.rows import Row


def rest_command(
    spec: PaperTable, rows: Sequence[Row], *, protocol: str | None, runs: Path | None
) -> str:
    """Return the command that fills a table; what is in ``rows`` it skips.

    Args:
        spec: the table.
        rows: the measured rows that count, the fullest first; the same weights and seeds are
            asked for again; without any, the benchmark's seeds.
        protocol: its name, if one is meant.
        runs: where the run folders are; None is where ``train.py`` puts them.
    """
    words = [f"protocol={protocol}"] if protocol else []
    checkpoint = _checkpoint(spec, rows)
    words += [f"model.checkpoint={override_value(checkpoint)}"] if checkpoint else []
    seeds = sorted({seed for row in rows for scores in row.scores.values() for seed in scores})
    seeds = seeds or spec.benchmark.seeds
    words += [f"seed={','.join(map(str, seeds))}"] if seeds else []
    words += [f"paths.runs={override_value(str(runs))}"] if runs else []
    return " ".join([spec.command, *(shlex.quote(word) for word in words)])


def _checkpoint(spec: PaperTable, rows: Sequence[Row]) -> str | None:
    """Return the weights' file; None where they come from the hub."""
    sources = [source for row in rows for source in row.sources]
    if not sources:
        return spec.benchmark.paper.checkpoint
    return sources[0] if Path(sources[0]).is_absolute() else None
