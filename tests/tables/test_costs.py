"""Costs beside scores: the order, what is said to be equal, medians, what is not known."""

from __future__ import annotations

import dataclasses
import io
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from vtab1k_records import vtab_record

from hydra_peft.runs.record import Record
from hydra_peft.tables.costs import Cost, costs, documents
from hydra_peft.tables.grouping import build_tables
from hydra_peft.tables.parts import parts

#: by method: scores of cifar100 (natural) and clevr_count (structured) by seed
SCORES = {
    "Hydra": ((70.0, 71.0, 72.0), (60.0, 60.5, 61.0)),
    "LoRA": ((70.5, 70.5, 71.5), (59.5, 60.5, 61.5)),
    "SeqLoRA": ((69.0, 70.0, 71.0), (58.0, 58.5, 59.0)),
}


def records(scores: dict[str, Any] = SCORES, **changes: Any) -> list[Record]:
    return [
        dataclasses.replace(
            vtab_record(method, task, score, seed, settings={"method.name": method}),
            images_per_second=100.0 * (1 + seed),
            memory={"bytes": 2_000_000 * (1 + seed), "of": "whole process"},
            hardware={"cpu": "a CPU", "threads": 2},
            **changes,
        )
        for method, rows in scores.items()
        for task, row in zip(("cifar100", "clevr_count"), rows, strict=False)
        for seed, score in enumerate(row)
    ]


def found(runs: list[Record], size: int = 5000) -> dict[str, Cost]:
    (table,) = build_tables(runs)[0]
    (part,) = parts(table)
    return {c.label: c for c in costs(part, {id(run): size for run in runs})}


def test_the_best_mean_is_first_and_differences_are_paired_by_seed() -> None:
    by_label = found(records())
    assert list(by_label) == ["hydra r=2+2", "lora r=4", "seqlora r=6"]
    hydra, lora, seqlora = by_label.values()
    ours, best = (np.mean(SCORES[name], axis=0) for name in ("LoRA", "Hydra"))
    interval = stats.ttest_rel(ours, best).confidence_interval(0.95)
    assert lora.behind.value == pytest.approx(np.mean(ours - best))
    assert lora.behind.interval == pytest.approx((interval.low, interval.high))
    assert lora.alike
    # One and a half points behind in each seed: no spread, so certainly another.
    assert (seqlora.behind.interval, seqlora.alike) == ((-1.5, -1.5), False)
    assert (hydra.behind, hydra.alike) == (None, False)


def test_rows_of_one_printed_mean_are_all_the_best() -> None:
    # One seed, of which no interval is known.
    scores = {name: ((at,), (at,)) for name, at in [("Hydra", 90.0), ("LoRA", 90.01)]}
    texts = documents(
        build_tables(records({**scores, "SeqLoRA": ((80.0,),) * 2}))[0], {}, [], "markdown"
    )
    assert texts["md"].count("**90.0**") == 2
    assert texts["md"].count("**") == 4


def test_rates_memory_and_files_are_medians_and_what_is_not_known_stays_so() -> None:
    cost = found(records())["lora r=4"]
    assert (cost.rate, cost.memory, cost.file) == (200.0, 4_000_000.0, 5000.0)
    bare = found([dataclasses.replace(r, images_per_second=None, memory={}) for r in records()], 0)
    assert (bare["lora r=4"].rate, bare["lora r=4"].memory, bare["lora r=4"].file) == (None,) * 3


def test_a_row_without_all_tasks_is_last_and_compared_with_nothing() -> None:
    lacking = {**SCORES, "Linear-probing": ((99.0, 99.0, 99.0),)}
    label, cost = list(found(records(lacking)).items())[-1]
    assert (label, cost.mean is None, cost.behind) == ("linear", True, None)


def test_what_is_printed_and_written() -> None:
    runs = records()
    tables = build_tables(runs)[0]
    sizes = {id(run): 5000 for run in runs}
    texts = documents(tables, sizes, ["a note"], "markdown")
    for part in (
        "**65.8 [63.9, 67.6]**",
        "| -1.5 [-1.5, -1.5] | 3 ",
        "| 276,576 ",
        "| 200 ",
        "| 5 ",
        "of the whole process",
        "on a CPU, 2 threads",
        "> note: a note",
    ):
        assert part in texts["md"], part
    back = pd.read_csv(io.StringIO(texts["csv"]))
    assert list(back["alike"]) == [False, True, False]
    assert list(back["adapter_bytes"]) == [5000.0] * 3


def test_what_a_row_without_a_seed_of_one_task_costs_is_of_the_runs_of_its_mean() -> None:
    stray = dataclasses.replace(
        vtab_record("LoRA", "svhn", 10.0, 0, settings={"method.name": "LoRA"}),
        images_per_second=9000.0,
        memory={"bytes": 9_000_000_000},
    )
    runs = [r for r in records() if (r.label, r.task, r.seed) != ("lora r=4", "cifar100", 2)]
    cost = found([*runs, stray])["lora r=4"]
    assert (cost.mean.count, len(cost.records)) == (2, 4)
    assert (cost.rate, cost.memory) == (150.0, 3_000_000.0)
    text = documents(build_tables([*runs, stray])[0], {}, [], "markdown")["md"]
    assert re.search(r"lora r=4 +\|[^|]*\|[^|]*\| 2 +\|", text)
    assert "medians over the runs that the mean is of, or all of a row without" in text


def test_why_there_is_no_rate_is_said() -> None:
    packed = [
        dataclasses.replace(r, path={**r.path, "packed": 3}) if r.label != "hydra r=2+2" else r
        for r in records()
    ]
    text = documents(build_tables(packed)[0], {}, [], "markdown")["md"]
    assert (
        "- No rate and memory of lora r=4, seqlora r=6: these runs trained together with others, "
        "so that time and memory were not theirs alone.\n"
    ) in text
    some = [r if r.seed else dataclasses.replace(r, path={"packed": 2}) for r in records()]
    text = documents(build_tables(some)[0], {}, [], "markdown")["md"]
    assert "- Rate and memory of hydra r=2+2, lora r=4, seqlora r=6 without the runs that" in text
    none = [dataclasses.replace(r, images_per_second=None) for r in records()]
    text = documents(build_tables(none)[0], {}, [], "markdown")["md"]
    assert "- No rate of hydra r=2+2, lora r=4, seqlora r=6: these runs recorded none." in text
    assert "No rate" not in documents(build_tables(records())[0], {}, [], "markdown")["md"]


def test_an_end_beside_zero_is_not_printed_as_zero() -> None:
    # Differences -0.2 and -0.17, whose interval ends at +0.0056.
    scores = {"Hydra": ((70.0, 70.0),) * 2, "LoRA": ((69.8, 69.83),) * 2}
    text = documents(build_tables(records(scores))[0], {}, [], "markdown")["md"]
    assert "| -0.2 [-0.4, +0.006] " in text
    assert text.count("**") == 4
    off = {"Hydra": ((70.0, 70.0),) * 2, "LoRA": ((69.8, 69.828),) * 2}
    text = documents(build_tables(records(off))[0], {}, [], "markdown")["md"]
    assert "| -0.2 [-0.4, -0.008] " in text
    assert text.count("**") == 2


def test_parameters_of_several_sizes_are_a_range() -> None:
    sizes = {"cifar100": 5_770, "clevr_count": 37_200}
    runs = [
        dataclasses.replace(r, parameters={**r.parameters, "adapter": sizes[r.task]})
        if r.label == "lora r=4"
        else r
        for r in records()
    ]
    texts = documents(build_tables(runs)[0], {}, [], "markdown")
    assert "| 5,770-37,200 " in texts["md"]
    said = "- Parameters of rows of several sizes: the least to the greatest of their runs.\n"
    assert said in texts["md"]
    assert said not in documents(build_tables(records())[0], {}, [], "markdown")["md"]
    back = pd.read_csv(io.StringIO(texts["csv"])).set_index("method").loc["lora r=4"]
    ends = [back[f"adapter_parameters{end}"] for end in ("_least", "_most", "")]
    assert ends == [5_770, 37_200, 21_485]
