"""Records of VTAB-1k runs, as if measured."""

from __future__ import annotations

from typing import Any

from fabricated_runs import agreeing
from flat_results import in_fields

from hydra_peft.config.benchmarks import find_benchmark
from hydra_peft.methods import method_class
from hydra_peft.runs.record import Record
from hydra_peft.tables.paper_tables import score_tables

VTAB1K = find_benchmark("vtab1k")
PAPER_TABLES = score_tables()
#: classes by task, so that heads have 769 parameters for each
CLASSES = dict(
    zip(
        VTAB1K.tasks,
        (100, 102, 47, 102, 37, 10, 397, 2, 10, 45, 5, 8, 6, 6, 4, 16, 16, 18, 9),
        strict=True,
    )
)
#: published label of a measured row: method, options, parameters of the adapter
METHODS: dict[str, tuple[str, dict[str, Any], int]] = {
    "Full tuning": ("full", {}, 85_798_656),
    "Linear-probing": ("linear", {}, 0),
    "LoRA": ("lora", {"rank": 4}, 276_576),
    "SeqLoRA": ("seqlora", {"rank": 6}, 239_760),
    "Hydra": ("hydra", {"rank": 2}, 239_712),
}
#: rows of Table 2 alone; NOAH's LoRA is printed as LoRA there
TABLE_2: dict[str, tuple[str, dict[str, Any], int]] = {
    "Adapter": ("adapter", {}, 156_768),
    "AdaptFormer": ("adaptformer", {}, 156_768),
    "NOAH's LoRA": ("lora", {"rank": 8, "targets": ["attn.qkv"], "bias": False}, 294_912),
    "VPT": ("vpt_deep", {}, 92_160),
    "NOAH": ("noah", {}, 331_836),
    "SSF": ("ssf", {}, 205_824),
    "FacT": ("fact_tk", {}, 30_976),
    "RepAdapter": ("repadapter", {}, 239_808),
}


def vtab_record(row: str, task: str, accuracy: float, seed: int = 0, **changes: Any) -> Record:
    """Return a completed run of a published row's method; ``changes`` replaces fields."""
    name, options, adapter = {**METHODS, **TABLE_2}[row]
    method = method_class(name)(**options)
    protocol = changes.get("protocol", "clean")
    values: dict[str, Any] = {
        "status": "completed",
        "config_id": f"{name} {task} {seed} {protocol}",
        "settings": {"method.name": name, "protocol.train_split": "train"},
        "benchmark": "vtab1k",
        "group": VTAB1K.tasks.get(task, "natural"),
        "task": task,
        "model": VTAB1K.paper.model,
        "method": method.identity(),
        "method_label": method.label,
        "protocol": protocol,
        "seed": seed,
        "science": {"seed": seed, "dataset": task, "method": name},
        "started": "2026-01-01T00:00:00+00:00",
        "weights": {"kind": "pretrained", "sha256": "1a2b3c4d" * 8},
        "data": {"sha256": f"data of {task}"},
        "metrics": {
            "accuracy": accuracy,
            "correct": 1,
            "count": 2,
            "split": "test",
            "selection": "last epoch",
        },
        "parameters": {"adapter": adapter, "head": 769 * CLASSES.get(task, 1)},
    }
    return agreeing(Record(**in_fields({**values, **changes})))
