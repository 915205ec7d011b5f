"""Which table of the paper is compared with which runs: one short spec a table.

A further table is one entry of :data:`PAPER_TABLES`, and a :class:`Benchmark` if it brings one;
everything else (:mod:`side_by_side`, the renderers, ``scripts/tables.py``) reads the spec.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hydra_peft.errors import UserError
from hydra_peft.methods._low_rank import VTAB_TARGETS
from hydra_peft.tables.rows import group_weights, task_weights


@dataclass(frozen=True)
class Benchmark:
    """What the tables of one benchmark share.

    Attributes:
        name: ``benchmark`` of the records.
        tasks: task name to group, in the paper's order of columns; the name is the csv's column
            and the records' ``task``.
        backbone: model name of the paper's rows; measured rows on others say so in their label.
        checkpoint: usual file name of the backbone's weights.
        decimals: of the paper's cells.
    """

    name: str
    tasks: dict[str, str]
    backbone: str
    checkpoint: str
    decimals: int

    @property
    def groups(self) -> dict[str, list[str]]:
        """Tasks by group, both in the paper's order."""
        groups: dict[str, list[str]] = {}
        for task, group in self.tasks.items():
            groups.setdefault(group, []).append(task)
        return groups

    @property
    def average(self) -> dict[str, float]:
        """Weights of the tasks in the paper's average: over groups where there are some."""
        return group_weights(self.tasks) if len(self.groups) > 1 else task_weights(self.tasks)


@dataclass(frozen=True)
class PaperTable:
    """One table of the paper and how to fill it.

    Attributes:
        title: what the table shows, in a few words.
        csv: file in ``results/paper``.
        benchmark: whose runs stand beside it.
        average: the csv's column of the printed average.
        rows: label of a published row to the items of ``Record.method`` that its runs have;
            published rows not named here are printed without a measured row.
        command: trains all of them.
        summary: whether the table has the average only, no tasks.
        notes: what a reader of this comparison should know.
    """

    title: str
    csv: str
    benchmark: Benchmark
    average: str
    rows: dict[str, dict[str, Any]]
    command: str
    summary: bool = False
    notes: tuple[str, ...] = ()


def _group(name: str, *tasks: str) -> dict[str, str]:
    return dict.fromkeys(tasks, name)


def _low_rank(name: str, parallel: int, sequential: int) -> dict[str, Any]:
    """Return what ``LowRankMethod.identity`` has of a method with biases on both projections."""
    return {
        "name": name,
        "rank_parallel": parallel,
        "rank_sequential": sequential,
        "targets": sorted(VTAB_TARGETS),
        "bias": True,
    }


VTAB1K = Benchmark(
    name="vtab1k",
    tasks={
        **_group("natural", "cifar100", "caltech101", "dtd", "flowers102", "oxford_pets"),
        **_group("natural", "svhn", "sun397"),
        **_group("specialized", "patch_camelyon", "eurosat", "resisc45", "retinopathy"),
        **_group("structured", "clevr_count", "clevr_dist", "dmlab", "kitti_dist"),
        **_group("structured", "dsprites_loc", "dsprites_ori", "smallnorb_azim", "smallnorb_elev"),
    },
    backbone="vit_base_patch16_224_in21k",
    checkpoint="ViT-B_16.npz",
    decimals=1,
)

_HYDRA = _low_rank("hydra", 2, 2)
_HEAD_TO_HEAD = {
    "LoRA": _low_rank("lora", 4, 0),
    "SeqLoRA": _low_rank("seqlora", 0, 6),
    "Hydra": _HYDRA,
}

PAPER_TABLES = {
    2: PaperTable(
        title="VTAB-1k, all methods",
        csv="table2_vtab1k.csv",
        benchmark=VTAB1K,
        average="avg_acc",
        rows={"Full tuning": {"name": "full"}, "Linear-probing": {"name": "linear"}}
        | {"Hydra": _HYDRA},
        command="python scripts/train.py -m +experiment=table2",
        notes=(
            "the paper's LoRA row (0.29 M, on q, k and v) comes from other work: our lora r=4 on "
            "attn.proj and mlp.fc2 is the LoRA of Table 8, so it is not measured here.",
            "the paper's parameters include the mean head for Hydra, are the head alone for "
            "Linear-probing, and leave the head out for most other rows.",
        ),
    ),
    5: PaperTable(
        title="VTAB-1k, LoRA, SeqLoRA and Hydra head to head, average",
        csv="table5_vtab1k_summary.csv",
        benchmark=VTAB1K,
        average="avg_acc",
        rows=_HEAD_TO_HEAD,
        command="python scripts/train.py -m +experiment=table8",
        summary=True,
        notes=("the paper's parameters include the mean head.",),
    ),
    8: PaperTable(
        title="VTAB-1k, LoRA, SeqLoRA and Hydra head to head",
        csv="table8_vtab1k_head_to_head.csv",
        benchmark=VTAB1K,
        average="avg_acc",
        rows=_HEAD_TO_HEAD,
        command="python scripts/train.py -m +experiment=table8",
        notes=("the paper's parameters include the mean head.",),
    ),
}


def paper_table(number: str) -> tuple[int, PaperTable]:
    """Return the number and spec of the table the user named.

    Raises:
        UserError: there is no spec for it.
    """
    known = {str(key): key for key in PAPER_TABLES}
    if number not in known:
        raise UserError(f"table={number} is not known: it must be one of {', '.join(known)}.")
    return known[number], PAPER_TABLES[known[number]]
