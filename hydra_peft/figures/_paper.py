"""The paper's rows that may stand as points beside measured ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hydra_peft.figures._sheets import Sheet
from hydra_peft.tables.published import read_published

_PAPER = Path(__file__).resolve().parent.parent.parent / "results" / "paper"
#: tables of a benchmark and those of their rows whose printed parameters count the mean head.
#: Table 2 leaves it out for most methods; next to all of a backbone it does not show.
_WITH_HEAD = {"vtab1k": {8: ("LoRA", "SeqLoRA", "Hydra"), 2: ("Full tuning", "Linear-probing")}}


@dataclass(frozen=True)
class PaperPoint:
    """A published row: its label, our method's name, parameters with head, accuracy in percent."""

    label: str
    method: str
    parameters: float
    accuracy: float


def paper_points(sheet: Sheet, weights: dict[str, float], head: bool) -> list[PaperPoint]:
    """Return what the paper printed for the tasks of ``sheet``.

    Nothing where parameters or the sheet's backbone, weights or data are of another kind.

    Args:
        sheet: what the points stand beside.
        weights: of the tasks in the mean; the printed cells are weighted alike.
        head: whether the picture counts the head's parameters, as the printed numbers do.

    Raises:
        UserError: the published table is missing or damaged.
    """
    from hydra_peft.tables.paper_tables import PAPER_TABLES  # loads torch

    points = []
    for number, labels in _WITH_HEAD.get(sheet.table.benchmark, {}).items():
        spec = PAPER_TABLES[number]
        alike = head and not sheet.marks and sheet.table.rows[0].model == spec.benchmark.backbone
        for row in read_published(_PAPER / spec.csv).rows if alike else ():
            parameters, accuracy = row.numbers["params_m"], row.mean(weights)
            if row.label in labels and parameters and accuracy is not None:
                name = str(spec.rows[row.label]["name"])
                points.append(PaperPoint(row.label, name, parameters.value * 1e6, accuracy))
    return points
