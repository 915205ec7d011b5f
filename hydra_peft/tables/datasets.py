"""The paper's tables of data sets (14 and 15) beside what the task definitions expect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from hydra_peft.errors import UserError
from hydra_peft.tables.formats import render
from hydra_peft.tables.published import Number, PublishedRow, PublishedTable
from hydra_peft.tables.sheet import Sheet

#: the csv's column to the title that the paper prints
TITLES = {"labels": "#labels", "train_size": "Train size", "test_size": "Test size"}
#: the same of each task, by the csv's column
Found = Mapping[str, Mapping[str, int]]


@dataclass(frozen=True)
class DatasetTable:
    """One table of data sets.

    Attributes:
        title: what it shows.
        csv: file in ``results/paper``.
        benchmark: name of the benchmark.
        tasks: printed name to the task's; empty where no table of scores has it.
    """

    title: str
    csv: str
    benchmark: str
    tasks: dict[str, str]


DATASET_TABLES = {
    14: DatasetTable(
        "data sets of the few-shot experiments",
        "table14_elevater_datasets.csv",
        "elevater",
        {
            "Hateful Memes": "hateful_memes",
            "PatchCamelyon": "patch_camelyon",
            "Rendered-SST2": "rendered_sst2",
            "KITTI Distance": "kitti_distance",
            "FER 2013": "fer2013",
            "CIFAR10": "cifar10",
            "EuroSAT": "eurosat",
            "MNIST": "mnist",
            "STL10": "",
            "SVHN": "",
            "VOC 2007 Classification": "voc2007",
            "Oxford-IIIT-Pets": "oxford_pets",
            "GTSRB": "gtsrb",
            "Resisc45": "resisc45",
            "Describable Textures": "dtd",
            "CIFAR100": "cifar100",
            "FGVC Aircraft": "fgvc_aircraft",
            "Food101": "food101",
            "Caltech101": "caltech101",
            "Oxford-Flowers102": "flowers102",
            "Stanford Cars": "stanford_cars",
            "Country-211": "country211",
            "SUN397": "",
        },
    ),
    15: DatasetTable(
        "data sets of VTAB-1k",
        "table15_vtab1k_datasets.csv",
        "vtab1k",
        {
            "CIFAR100": "cifar100",
            "Caltech101": "caltech101",
            "Describable Textures": "dtd",
            "Oxford-Flowers102": "flowers102",
            "Oxford-IIIT-Pets": "oxford_pets",
            "SVHN": "svhn",
            "Sun397": "sun397",
            "PatchCamelyon": "patch_camelyon",
            "EuroSAT": "eurosat",
            "Resisc45": "resisc45",
            "Retinopathy": "retinopathy",
            "Clevr/count": "clevr_count",
            "Clevr/distance": "clevr_dist",
            "DMLab": "dmlab",
            "KITTI Distance": "kitti_dist",
            "dSprites/location": "dsprites_loc",
            "dSprites/orientataion": "dsprites_ori",
            "SmallNORB/azimuth": "smallnorb_azim",
            "SmallNORB/elevation": "smallnorb_elev",
        },
    ),
}


def documents(
    number: int, spec: DatasetTable, published: PublishedTable, found: Found, form: str
) -> dict[str, str]:
    """Return the whole text of each file of ``form``, by ending; the first is to be printed.

    Args:
        number: the table's number in the paper.
        spec: the table.
        published: its numbers.
        found: what the task definitions say, by task; empty where there are none.
        form: one of :data:`~hydra_peft.tables.formats.FORMATS`.

    Raises:
        UserError: the published table has other data sets than the spec.
    """
    if [row.label for row in published.rows] != list(spec.tasks):
        raise UserError(f"{published.path} has not the data sets of Table {number}: edited?")
    return render(
        [_sheet(number, spec, published, found)],
        lambda: _frame(number, spec, published, found),
        [],
        form,
    )


def _sheet(number: int, spec: DatasetTable, published: PublishedTable, found: Found) -> Sheet:
    lines = []
    differing: list[str] = []
    for row in published.rows:
        ours = found.get(spec.tasks[row.label], {})
        line = {"dataset": row.label}
        for column, title in TITLES.items():
            cell, value = _cell(row, column), ours.get(column)
            line[f"{title} (paper)" if found else title] = (
                "-" if cell is None else _count(cell.value)
            )
            if found:
                line[f"{title} (here)"] = "-" if value is None else _count(value)
            if cell and value is not None and value != cell.value:
                differing.append(
                    f"{row.label}: {title[:1].lower()}{title[1:]} is {_count(cell.value)} in the "
                    f"paper, {_count(value)} here."
                )
        lines.append(line)
    here = "what conf/dataset says and runs check."
    if not found:
        here = f"conf has no benchmark {spec.benchmark} yet to compare with."
    below = [f"paper: arXiv 2309.06922 as printed. here: {here}", *differing]
    strange = [name for name, task in spec.tasks.items() if not task]
    if strange:
        below.append(f"no table of scores has a column for {', '.join(strange)}.")
    return Sheet(f"Table {number} of the paper ({spec.title})", pd.DataFrame(lines), below=below)


def _cell(row: PublishedRow, column: str) -> Number | None:
    return row.numbers.get(column)


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _frame(
    number: int, spec: DatasetTable, published: PublishedTable, found: Found
) -> pd.DataFrame:
    lines = []
    for row in published.rows:
        task = spec.tasks[row.label]
        for column in TITLES:
            cell = _cell(row, column)
            lines.append(
                {
                    "table": number,
                    "benchmark": spec.benchmark,
                    "dataset": row.label,
                    "task": task or None,
                    "quantity": column,
                    "paper": int(cell.value) if cell else None,
                    "here": found.get(task, {}).get(column),
                }
            )
    return pd.DataFrame(lines).astype({"paper": "Int64", "here": "Int64"})
