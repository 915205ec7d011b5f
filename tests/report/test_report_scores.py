"""Ranks and leaders, by hand."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from flat_results import changed
from scored_records import scored as other_metric
from study import run_record

from hydra_peft.report.scores import Count, ScoreTable, score_table
from hydra_peft.report.summary import Leader, leaders
from hydra_peft.runs.record import Record
from hydra_peft.tables.grouping import build_tables
from hydra_peft.tables.overrides import Origin
from hydra_peft.tables.rows import Table


def scored(method: str, task: str, seed: int, accuracy: float, **changes: Any) -> Record:
    record = run_record(method, task, seed, **changes)
    return changed(record, accuracy=accuracy)


def table(*records: Record) -> Table:
    (built,), _ = build_tables(list(records))
    return built


def shown(*records: Record) -> ScoreTable:
    return score_table(table(*records), ["generated"])


def leader(*records: Record) -> Leader:
    (only,) = leaders([table(*records)])
    return only


def test_best_and_second_of_what_is_printed() -> None:
    view = shown(
        scored("lora", "digits", 0, 90.04),
        scored("hydra", "digits", 0, 89.96),  # prints as 90.0 too
        scored("seqlora", "digits", 0, 88.0),
        scored("linear", "digits", 0, 70.0),
    )
    (part,) = view.parts
    ranks = {line.label: line.cells[0].rank for line in part.lines}
    assert ranks == {"lora r=4": 1, "hydra r=2+2": 1, "seqlora r=6": 2, "linear": 0}


def test_ranks_stay_within_a_backbone() -> None:
    blank = {"kind": "random", "sha256": "0" * 64}
    view = shown(
        scored("lora", "digits", 0, 90.0),
        scored("hydra", "digits", 0, 80.0),
        scored("lora", "digits", 0, 99.0, weights=blank, config_id="other"),
    )
    pretrained, random = view.parts
    assert pretrained.backbone == "vit_mini, pretrained 22d74e89"
    assert random.backbone == "vit_mini, RANDOM WEIGHTS"
    assert [line.cells[0].rank for line in pretrained.lines] == [0, 1]
    assert [line.cells[0].rank for line in random.lines] == [0], "alone it is not the best"


def test_parts_whose_means_are_over_other_tasks_say_so() -> None:
    whole = [scored(m, t, 0, 80.0) for m in ("lora", "hydra") for t in ("digits", "cells")]
    half = scored("lora", "cells", 0, 91.0, weights={"kind": "random", "sha256": "0" * 64})
    view = shown(*whole, half)
    assert view.columns[-2][0] == "mean over tasks"
    assert [part.sentences for part in view.parts] == [
        ["Means are over digits, cells."],
        ["Means are over cells."],
    ]
    assert [part.sentences for part in shown(*whole).parts] == [[]]


def test_cells() -> None:
    view = shown(
        scored("lora", "digits", 0, 90.0),
        scored("lora", "digits", 1, 91.0),
        scored("hydra", "digits", 0, 80.0),
        scored("hydra", "cells", 0, 70.0),
    )
    lora = next(line for line in view.parts[0].lines if line.label == "lora r=4")
    digits, cells, *means = lora.cells
    assert (digits.mean, digits.deviation, digits.count) == ("90.5", "0.7", 2)
    assert (cells.mean, cells.value) == ("\u2013", None)
    # Over digits, which both rows have.
    assert [mean.value for mean in means] == [90.5, 90.5]
    assert view.columns[2:] == [("mean over 1 of 2 tasks", ""), ("mean over their groups", "")]
    assert view.columns[:2] == [("digits", "natural"), ("cells", "specialized")]
    assert (lora.adapter, lora.with_head) == (Count(19_240, "19,240"), Count(20_530, "20,530"))


def test_leader_ahead_and_not_separated() -> None:
    scores = {"lora": (90.0, 91.0, 92.0), "hydra": (89.9, 91.2, 91.6), "linear": (70.0, 71.1, 72.0)}
    found = leader(
        *(scored(m, "digits", seed, x) for m, xs in scores.items() for seed, x in enumerate(xs))
    )
    assert found.label == "lora r=4"
    assert found.verdict == "Highest mean; ahead of linear and not separated from hydra r=2+2."
    near, far = found.rivals
    assert near.difference.value == pytest.approx((0.1 - 0.2 + 0.4) / 3)
    assert far.difference.value == pytest.approx((20.0 + 19.9 + 20.0) / 3)
    assert far.difference.count == 3
    # t(0.975, 2) = 4.302653; the deviation of 20, 19.9 and 20 is 0.057735.
    assert far.difference.interval == pytest.approx(
        (19.96667 - 4.302653 * 0.057735 / 3**0.5, 19.96667 + 4.302653 * 0.057735 / 3**0.5), abs=1e-4
    )


def test_leader_of_other_seeds_is_not_called_ahead() -> None:
    lora = {0: 80.0, 1: 80.1, 2: 80.0, 3: 95.0, 4: 95.0}
    hydra = {0: 82.0, 1: 82.0, 2: 82.1}
    linear = {7: 10.0}
    scores = {"lora": lora, "hydra": hydra, "linear": linear}
    found = leader(*(scored(m, "digits", s, x) for m, xs in scores.items() for s, x in xs.items()))
    assert found.label == "lora r=4"
    (rival,) = found.rivals
    assert rival.difference.value == pytest.approx(-2.0)
    assert found.verdict == (
        "Highest mean; in common seeds behind hydra r=2+2 and without a common seed with linear."
    )


def test_one_seed_shows_no_order() -> None:
    found = leader(scored("lora", "digits", 0, 90.0), scored("linear", "digits", 0, 10.0))
    assert found.verdict == "Highest in one seed. One seed has no interval, so no order is shown."


def test_who_is_as_good_is_named() -> None:
    same = [scored(m, "digits", s, 90.0 + s) for m in ("lora", "seqlora") for s in (0, 1)]
    one = leader(*(run for run in same if run.seed == 0))
    assert one.verdict.startswith("Highest in one seed, together with lora r=4. One seed has ")
    two = leader(*same, scored("linear", "digits", 0, 70.0), scored("linear", "digits", 1, 70.9))
    assert two.verdict == ("Highest mean, together with lora r=4; ahead of linear.")


def test_a_sentence_on_the_order_names_few_rows() -> None:
    found = leader(
        *(
            scored("lora", "digits", seed, 50.0 + seed + rate, settings={"optimizer.lr": rate})
            for rate in range(1, 9)
            for seed in (0, 1)
        )
    )
    assert len(found.rivals) == 7
    assert found.verdict.startswith("Highest mean; ahead of lora r=4 (optimizer.lr=7), lora r=4")
    assert found.verdict.endswith("lora r=4 (optimizer.lr=4) and 3 more.")
    assert found.verdict.count("lora") == 4


def test_a_stray_run_leaves_everybody_else_a_mean() -> None:
    scores = {"lora": (90.0, 91.0), "linear": (70.0, 71.5)}
    sweep = [
        scored(method, task, seed, accuracy)
        for method, accuracies in scores.items()
        for task in ("digits", "cells")
        for seed, accuracy in enumerate(accuracies)
    ]
    stray = scored("hydra", "shapes_count", 0, 10.0)
    found = leader(*sweep, stray)
    assert (found.label, found.mean.value) == ("lora r=4", 90.5)
    assert found.verdict == "Highest mean; ahead of linear."
    assert found.sentences == (
        "Means are over the tasks that rows share: digits, cells. Not in them: shapes_count (only "
        "hydra r=2+2). Without these means: hydra r=2+2.",
    )
    view = shown(*sweep, stray)
    assert view.columns[-2:] == [("mean over 2 of 3 tasks", ""), ("mean over their groups", "")]
    (part,) = view.parts
    means = {line.label: line.cells[-1].value for line in part.lines}
    assert means == {"lora r=4": 90.5, "linear": 70.75, "hydra r=2+2": None}


def test_rows_of_unchecked_settings_do_not_lead() -> None:
    records = [
        scored("hydra", "digits", 0, 99.0),
        scored("lora", "digits", 0, 80.0),
        scored("linear", "digits", 0, 70.0),
        scored("lora", "digits", 0, 95.0, protocol="mine", config_id="mine"),
    ]
    defaults = {Origin.of(record): record.settings for record in records[1:3]}
    tables, _ = build_tables(records, defaults=defaults)
    tables.reverse()
    clean, mine = leaders(tables)
    assert (clean.label, clean.checked) == ("lora r=4", True)
    assert clean.verdict.endswith(
        "Not compared, as settings were not checked: hydra r=2+2 (SETTINGS NOT CHECKED)."
    )
    # Alone it is shown, after all others, and says so.
    assert (mine.label, mine.checked) == ("lora r=4", False)
    assert mine.sentences == ("This row: SETTINGS NOT CHECKED.",)


def test_intervals_of_leaders_stay_below_100() -> None:
    found = leader(
        *(scored("lora", "digits", seed, x) for seed, x in enumerate((99.0, 99.9, 99.8)))
    )
    low, high = found.mean.interval
    assert 0 < low < 99.0
    assert 99.9 < high < 100


def test_no_mean_without_all_tasks() -> None:
    found = leader(scored("lora", "digits", 0, 90.0), scored("linear", "cells", 0, 10.0))
    assert found.mean is None
    assert found.verdict.startswith("No row has all tasks")


def test_of_errors_the_lowest_leads() -> None:
    records = [
        other_metric(scored(method, "digits", seed, 50.0), "mse", error)
        for method, errors in {"lora": [0.2, 0.21, 0.22], "hydra": [0.4, 0.42, 0.41]}.items()
        for seed, error in enumerate(errors)
    ]
    (table,), _ = build_tables(records)
    (found,) = leaders([table])
    assert found.label.startswith("lora")
    assert found.verdict.startswith("Lowest mean; ahead of hydra")
    assert found.rivals[0].difference.value == pytest.approx(0.2)
    assert found.shown(found.mean.value) == "0.2100"
    page = score_table(table, [])
    assert page.badges[0].text == "mean squared error (lower is better)"
    assert page.sentences == ["mean squared error: lower is better, not in percent."]
    best = [line.label for line in page.parts[0].lines if line.cells[0].rank == 1]
    assert best == [found.label]


def test_a_benchmark_with_one_mean_has_one_column_of_it() -> None:
    names = ("elpv", "elpv_type")
    view = shown(*(scored("lora", task, 0, 90.0, benchmark="real") for task in names))
    assert [name for name, _ in view.columns] == ["elpv", "elpv_type", "mean over tasks"]
    assert [cell.mean for cell in view.parts[0].lines[0].cells] == ["90.0"] * 3


def test_an_end_beside_zero_is_not_printed_as_zero() -> None:
    found = leader(scored("lora", "digits", 0, 90.3), scored("hydra", "digits", 0, 90.1))
    ends = (0.0041, -0.0004, 0.0, 0.32, 1e-12)
    printed = ["+0.004", "-0.0004", "0.00", "+0.32", "0.00"]
    assert [found.gain_end(end) for end in ends] == printed


def test_parameters_of_several_sizes_are_a_range() -> None:
    runs = [
        dataclasses.replace(run, parameters={**run.parameters, "adapter": size})
        for task, size in {"digits": 5_770, "cells": 37_200}.items()
        for run in [scored("lora", task, 0, 90.0)]
    ]
    view = shown(*runs)
    assert view.parts[0].lines[0].adapter == Count(21_485, "5,770-37,200")
    assert view.sentences == [
        "Parameters of rows of several sizes: the least to the greatest of their runs."
    ]
