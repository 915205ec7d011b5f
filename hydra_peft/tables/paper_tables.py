"""Specs of the paper's score tables: which runs each is compared with.

A further table is one entry of :data:`PAPER_TABLES`, and a :class:`Benchmark` if it brings one;
everything else (:mod:`side_by_side`, the renderers, ``scripts/tables.py``) reads the spec.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hydra_peft.config.benchmarks import find_benchmark
from hydra_peft.methods._linear import VTAB_TARGETS
from hydra_peft.tables.summaries import group_weights, task_weights


@dataclass(frozen=True)
class Benchmark:
    """Shared part of the tables of one benchmark.

    Attributes:
        name: ``benchmark`` of the records.
        tasks: task name to group, in the paper's order of columns; the name is the csv's column
            and the records' ``task``.
        titles: task name to the title that the paper prints.
        backbone: model name of the paper's rows; measured rows on others say so in their label.
        checkpoint: usual file name of the backbone's weights; None where they come from the hub.
        decimals: of the paper's cells.
        average_decimals: of the paper's averages.
        metrics: the primary metric that the paper prints of a task, where it is not accuracy.
    """

    name: str
    tasks: dict[str, str]
    titles: dict[str, str]
    backbone: str
    checkpoint: str | None
    decimals: int
    average_decimals: int
    metrics: dict[str, str] = field(default_factory=dict)

    def metric(self, task: str) -> str:
        """Return the name of the metric that the paper prints of ``task``."""
        return self.metrics.get(task, "accuracy")

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

    @property
    def average_rule(self) -> str:
        """Averaging rule of the table, in words."""
        return "mean over groups" if len(self.groups) > 1 else "mean over tasks"


@dataclass(frozen=True)
class PaperTable:
    """One table of scores of the paper and how to fill it.

    Attributes:
        title: what the table shows, in a few words.
        csv: file in ``results/paper``.
        benchmark: whose runs stand beside it.
        average: the csv's column of the printed average.
        rows: key of a published row (its label; with the parameters where labels repeat) to the
            items of ``Record.method`` that its runs have. Methods that ``hydra_peft.methods`` does
            not have are named here as it will have them; until then such rows are the paper's
            alone.
        experiment: the yaml in ``conf/experiment`` that trains the table.
        apart: keys of ``rows`` that this experiment does not train.
        pe: the csv's column of the PE score, where the table has one.
        summary: whether the table has the average only, no tasks.
        notes: what a reader of this comparison should know.
    """

    title: str
    csv: str
    benchmark: Benchmark
    average: str
    rows: dict[str, dict[str, Any]]
    experiment: str
    apart: tuple[str, ...] = ()
    pe: str | None = None
    summary: bool = False
    notes: tuple[str, ...] = ()

    @property
    def command(self) -> str:
        """Command that trains the whole table."""
        return f"python scripts/train.py -m +experiment={self.experiment}"


def _group(name: str, **titles: str) -> dict[str, tuple[str, str]]:
    return {task: (name, title) for task, title in titles.items()}


def _benchmark(name: str, groups: dict[str, tuple[str, str]], **others: Any) -> Benchmark:
    tasks = {task: group for task, (group, _) in groups.items()}
    titles = {task: title for task, (_, title) in groups.items()}
    return Benchmark(name=name, tasks=tasks, titles=titles, **others)


_CONFIGURED = find_benchmark("vtab1k")
VTAB1K = Benchmark(
    name="vtab1k",
    tasks=_CONFIGURED.tasks,
    titles=_CONFIGURED.titles,
    backbone="vit_base_patch16_224_in21k",
    checkpoint="ViT-B_16.npz",
    decimals=1,
    average_decimals=1,
)

ELEVATER = _benchmark(
    "elevater",
    {
        **_group("few-shot", caltech101="Caltech101", cifar10="CIFAR10", cifar100="CIFAR100"),
        **_group("few-shot", country211="Country211", dtd="DTD", eurosat="EuroSAT"),
        **_group("few-shot", fer2013="FER2013", fgvc_aircraft="FGVCAircraft", food101="Food101"),
        **_group("few-shot", gtsrb="GTSRB", hateful_memes="HatefulMemes"),
        **_group("few-shot", kitti_distance="KITTI-Dist", mnist="MNIST", flowers102="Flowers102"),
        **_group("few-shot", oxford_pets="OxfordPets", patch_camelyon="PatchCamelyon"),
        **_group("few-shot", rendered_sst2="SST2", resisc45="Resisc45"),
        **_group("few-shot", stanford_cars="StanfordCars", voc2007="VOC2007"),
    },
    backbone="vit_base_patch32_clip_quickgelu_224",
    checkpoint=None,
    decimals=2,
    average_decimals=2,
    # As the toolkit of ELEVATER (arXiv 2204.08790) scores them.
    metrics={
        **dict.fromkeys(("caltech101", "fgvc_aircraft", "flowers102"), "mean_per_class"),
        **{"oxford_pets": "mean_per_class", "hateful_memes": "roc_auc", "voc2007": "map_11point"},
    },
)

GLUE = _benchmark(
    "glue",
    {
        **_group("language", mnli="MNLI", sst2="SST-2", mrpc="MRPC", cola="CoLA", qnli="QNLI"),
        **_group("language", qqp="QQP", rte="RTE", stsb="STS-B"),
    },
    backbone="roberta_base",
    checkpoint=None,
    decimals=1,
    average_decimals=1,
    metrics={"cola": "matthews", "stsb": "pearson"},
)


def _low_rank(name: str, parallel: int, sequential: int, *targets: str) -> dict[str, Any]:
    """Return the entries of ``LowRankMethod.identity`` for a method with biases on ``targets``."""
    return {
        "name": name,
        "rank_parallel": parallel,
        "rank_sequential": sequential,
        "targets": sorted(targets),
        "bias": True,
    }


def _attention_lora(rank: int) -> dict[str, Any]:
    """Return LoRA on queries, keys and values, as the quoted rows have it: no biases."""
    return {**_low_rank("lora", rank, 0, "attn.qkv"), "bias": False}


_FULL: dict[str, Any] = {"name": "full"}
_LINEAR: dict[str, Any] = {"name": "linear"}
_HYDRA = _low_rank("hydra", 2, 2, *VTAB_TARGETS)
_HEAD_TO_HEAD = {
    "LoRA": _low_rank("lora", 4, 0, *VTAB_TARGETS),
    "SeqLoRA": _low_rank("seqlora", 0, 6, *VTAB_TARGETS),
    "Hydra": _HYDRA,
}
_POSITIONS = {
    "MSA": _low_rank("hydra", 2, 2, "attn.proj"),
    "MLP": _low_rank("hydra", 2, 2, "mlp.fc2"),
}
_GLUE_HYDRA = {"name": "hydra", "rank_parallel": 4, "rank_sequential": 8}
_GLUE_HEAD_TO_HEAD = {
    "LoRA": {"name": "lora", "rank_parallel": 7},
    "SeqLoRA": {"name": "seqlora", "rank_sequential": 18},
    "Hydra": _GLUE_HYDRA,
}
_WITH_HEAD = "the paper's parameters include the mean head."
_METRICS = (
    "CoLA is Matthews correlation, STS-B Pearson correlation, the others accuracy; all x 100."
)
_GLUE_RANKS = (
    "the paper gives no ranks for LoRA and SeqLoRA here: r=7 and r=18 on the MLP's second "
    "projection have Hydra's budget (0.32 and 0.33 M beside 0.33 M)."
)

PAPER_TABLES = {
    1: PaperTable(
        title="ELEVATER, few-shot classification",
        csv="table1_elevater.csv",
        benchmark=ELEVATER,
        average="avg_acc",
        pe="pe",
        rows={
            "Full tuning": _FULL,
            "Linear-probing": _LINEAR,
            "Adapter": {"name": "adapter"},
            "LoRA": _attention_lora(4),
            "Compacter": {"name": "compacter"},
            "Kadaptation": {"name": "kadaptation"},
            "Hydra": _POSITIONS["MLP"],
        },
        experiment="table1",
        apart=("LoRA",),
        notes=(
            "PE is accuracy x exp(-log10(parameters / 1e8 + 1)) with the mean head among the "
            "parameters (eq. 13).",
            "scores are accuracy, mean accuracy over classes, ROC AUC (HatefulMemes) or 11-point "
            "mAP (VOC2007), as ELEVATER has it; all x 100.",
        ),
    ),
    2: PaperTable(
        title="VTAB-1k, all methods",
        csv="table2_vtab1k.csv",
        benchmark=VTAB1K,
        average="avg_acc",
        rows={
            "Full tuning": _FULL,
            "Linear-probing": _LINEAR,
            "Adapter": {"name": "adapter"},
            "AdaptFormer": {"name": "adaptformer"},
            "LoRA": _attention_lora(8),
            "VPT": {"name": "vpt"},
            "NOAH": {"name": "noah"},
            "SSF": {"name": "ssf"},
            "FacT": {"name": "fact"},
            "RepAdapter": {"name": "repadapter"},
            "Hydra": _HYDRA,
        },
        experiment="table2",
        apart=("LoRA",),
        notes=(
            "the paper's LoRA row (0.29 M, on q, k and v) comes from other work: our lora r=4 on "
            "attn.proj and mlp.fc2 is the LoRA of Table 8 and does not stand beside it.",
            "the paper's parameters include the mean head for Hydra, are the head alone for "
            "Linear-probing, and leave the head out for most other rows.",
        ),
    ),
    3: PaperTable(
        title="GLUE, RoBERTa-base",
        csv="table3_glue.csv",
        benchmark=GLUE,
        average="avg",
        rows={
            "Full tuning": _FULL,
            "BitFit": {"name": "bitfit"},
            "AdapterDrop, 0.3 M": {"name": "adapterdrop", "bottleneck": 16},
            "AdapterDrop, 0.9 M": {"name": "adapterdrop", "bottleneck": 48},
            "LoRA": {"name": "lora", "rank_parallel": 8},
            "Hydra": _GLUE_HYDRA,
        },
        experiment="table3",
        notes=(_METRICS, "the paper's parameters leave the head out."),
    ),
    5: PaperTable(
        title="VTAB-1k, LoRA, SeqLoRA and Hydra head to head, average",
        csv="table5_vtab1k_summary.csv",
        benchmark=VTAB1K,
        average="avg_acc",
        rows=_HEAD_TO_HEAD,
        experiment="table8",
        summary=True,
        notes=(_WITH_HEAD,),
    ),
    6: PaperTable(
        title="GLUE, LoRA, SeqLoRA and Hydra head to head, average",
        csv="table6_glue_summary.csv",
        benchmark=GLUE,
        average="avg",
        rows=_GLUE_HEAD_TO_HEAD,
        experiment="table9",
        summary=True,
        notes=(_METRICS, _GLUE_RANKS),
    ),
    7: PaperTable(
        title="ELEVATER, Hydra on attention or MLP blocks, average",
        csv="table7_position_summary.csv",
        benchmark=ELEVATER,
        average="avg_acc",
        rows=_POSITIONS,
        experiment="table10",
        summary=True,
    ),
    8: PaperTable(
        title="VTAB-1k, LoRA, SeqLoRA and Hydra head to head",
        csv="table8_vtab1k_head_to_head.csv",
        benchmark=VTAB1K,
        average="avg_acc",
        rows=_HEAD_TO_HEAD,
        experiment="table8",
        notes=(_WITH_HEAD,),
    ),
    9: PaperTable(
        title="GLUE, LoRA, SeqLoRA and Hydra head to head",
        csv="table9_glue_head_to_head.csv",
        benchmark=GLUE,
        average="avg",
        rows=_GLUE_HEAD_TO_HEAD,
        experiment="table9",
        notes=(_METRICS, _GLUE_RANKS),
    ),
    10: PaperTable(
        title="ELEVATER, Hydra on attention or MLP blocks",
        csv="table10_elevater_position.csv",
        benchmark=ELEVATER,
        average="avg_acc",
        rows=_POSITIONS,
        experiment="table10",
    ),
}
