"""The paper's tables beside measured rows, as a page shows them."""

from __future__ import annotations

from dataclasses import dataclass

from hydra_peft.report.accuracy import MISSING
from hydra_peft.tables.render import title
from hydra_peft.tables.render_side_by_side import texts
from hydra_peft.tables.side_by_side import SideBySide


@dataclass(frozen=True)
class PaperLine:
    """One line; ``kind`` is ``paper``, ``measured``, ``difference`` or ``awaited``."""

    kind: str
    label: str
    cells: list[str]


@dataclass(frozen=True)
class PaperView:
    """One comparison.

    Attributes:
        title: which table of the paper.
        beside: what was measured; empty where nothing was.
        columns: titles, that of the label first.
        blocks: lines of a published row and of what was measured of it.
        notes: sentences below the table.
    """

    title: str
    beside: str
    columns: list[str]
    blocks: list[list[PaperLine]]
    notes: list[str]


def paper_view(side: SideBySide) -> PaperView:
    """Return ``side`` as a page shows it."""
    frame = texts(side)
    lines = [
        [MISSING if cell == "-" else str(cell) for cell in cells]
        for cells in frame.itertuples(index=False)
    ]
    blocks: list[list[PaperLine]] = []
    for block in side.blocks:
        kinds = ["paper", *["measured", "difference"] * len(block.measured)]
        kinds += ["awaited"] * bool(block.awaited)
        taken, lines = lines[: len(kinds)], lines[len(kinds) :]
        blocks.append(
            [PaperLine(kind, cells[0], cells[1:]) for kind, cells in zip(kinds, taken, strict=True)]
        )
    return PaperView(
        title=f"Table {side.number} of the paper: {side.spec.title}",
        beside=title(side.table) if side.table else "",
        columns=[str(name) for name in frame.columns],
        blocks=blocks,
        notes=side.notes,
    )
