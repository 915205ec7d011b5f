"""The paper's tables beside measured rows, as a page shows them."""

from __future__ import annotations

from dataclasses import dataclass

from hydra_peft.report.scores import MISSING
from hydra_peft.tables.render_side_by_side import sheet
from hydra_peft.tables.side_by_side import Block, SideBySide


@dataclass(frozen=True)
class PaperLine:
    """One line.

    Attributes:
        kind: ``paper``, ``measured``, ``difference`` or ``awaited``.
        cells: texts, each with its rank: 1 for the best, 2 for the second, else 0.
    """

    kind: str
    label: str
    cells: list[tuple[str, int]]


@dataclass(frozen=True)
class PaperView:
    """One comparison.

    Attributes:
        title: which table of the paper, and what is beside it.
        columns: titles and the groups they belong to, that of the label first.
        above: sentences above the table: settings that all measured rows share.
        blocks: lines of a published row and of what was measured of it.
        notes: sentences below the table.
    """

    title: str
    columns: list[tuple[str, str]]
    above: list[str]
    blocks: list[list[PaperLine]]
    notes: list[str]


def paper_view(side: SideBySide) -> PaperView:
    """Return ``side`` as a page shows it."""
    made = sheet(side)
    columns = [str(name) for name in made.cells.columns]
    lines = []
    for number, texts in enumerate(made.cells.itertuples(index=False)):
        cells = [
            (MISSING if text == "-" else str(text), made.marks.get((number, column), 0))
            for column, text in zip(columns, texts, strict=True)
        ]
        lines.append(cells)
    blocks: list[list[PaperLine]] = []
    for block in side.blocks:
        kinds = _kinds(block)
        taken, lines = lines[: len(kinds)], lines[len(kinds) :]
        blocks.append(
            [PaperLine(kind, c[0][0], c[1:]) for kind, c in zip(kinds, taken, strict=True)]
        )
    headed = [(column, made.groups.get(column, "")) for column in columns]
    return PaperView(made.title, headed, list(made.above), blocks, list(made.below))


def _kinds(block: Block) -> list[str]:
    kinds = ["paper", *["measured", "difference"] * len(block.measured)]
    return kinds + ["awaited"] * bool(block.awaited)
