"""Tables of tasks whose metrics differ in kind, bounds and direction, against numbers by hand."""

from __future__ import annotations

import dataclasses
import math

import pytest
from scored_records import scored
from test_grouping import record

from hydra_peft.runs.record import Record
from hydra_peft.tables.formats import to_markdown
from hydra_peft.tables.grouping import build_tables
from hydra_peft.tables.measures import measure_of, one_scale
from hydra_peft.tables.pairs import pairs
from hydra_peft.tables.parts import Part, parts
from hydra_peft.tables.render import sheet, to_frame
from hydra_peft.tables.significance import documents
from hydra_peft.tables.summaries import summarize, weights_over


def runs(method: str, metric: str, task: str, *values: float) -> list[Record]:
    """Return runs with seeds 0, 1, ... whose scores are ``values``."""
    changes = {"settings": {"m": method}, "method": {"name": method}, "method_label": method}
    return [
        scored(record(task, seed, 50.0, **changes), metric, value)
        for seed, value in enumerate(values)
    ]


def only_part(records: list[Record]) -> Part:
    (table,), _ = build_tables(records)
    (part,) = parts(table)
    return part


ERRORS = [*runs("lora", "mse", "a", 0.2, 0.4), *runs("hydra", "mse", "a", 0.1, 0.2)]


def test_the_lowest_error_is_the_best_and_the_table_says_so() -> None:
    text = to_markdown(sheet(only_part(ERRORS)))
    assert "mini: mean squared error on test (lower is better), trained on" in text
    assert "**0.1500 ± 0.0707**" in text
    assert "**0.3000" not in text
    assert "accuracy" not in text


def test_a_difference_is_above_zero_where_the_first_is_better() -> None:
    part = only_part(ERRORS)
    (pair,) = pairs(part.table, dict(zip(part.labels, part.table.rows, strict=True)))
    ahead = pair.first.startswith("hydra")
    assert pair.differences["a"] == pytest.approx({0: 0.1, 1: 0.2} if ahead else {0: -0.1, 1: -0.2})
    assert pair.seeds_won("a") == ((2, 0, 0) if ahead else (0, 0, 2))
    text = documents([part.table], "all", [], "markdown")["md"]
    assert "(of mean squared error, where lower is better, second - first)" in text


def test_each_task_says_its_metric_and_means_are_of_one_scale() -> None:
    part = only_part(
        [
            *ERRORS,
            *(r for m, v in (("lora", 60.0), ("hydra", 70.0)) for r in runs(m, "f1", "b", v, v)),
            *(r for m, v in (("lora", -40.0), ("hydra", -20)) for r in runs(m, "pearson", "c", v)),
        ]
    )
    text = to_markdown(sheet(part))
    assert "mini: score on test, trained on" in text
    assert "| a (mean squared error)" in text
    assert "| b (F1)" in text
    assert "| c (Pearson)" in text
    assert list(part.averaged) == ["b", "c"]
    assert "a (mean squared error, of another scale)" in text
    hydra = next(row for row in part.table.rows if row.label.startswith("hydra"))
    assert hydra.mean(weights_over("tasks", part.averaged)).value == 25.0
    lines = to_frame([part.table]).set_index(["method", "task"])["metric"]
    assert lines[hydra.label, "c"] == "Pearson"
    assert lines[hydra.label, "mean over tasks"] == "score"


def test_intervals_of_correlations_are_not_cut_at_zero() -> None:
    (row,) = only_part(runs("lora", "pearson", "a", -3.0, 1.0, 5.0)).table.rows
    low, high = row.cell("a").interval
    # Student's t with two degrees of freedom, 4.30265, far from both bounds
    reach = 4.30265 * 4 / math.sqrt(3)
    assert (low, high) == pytest.approx((1 - reach, 1 + reach), abs=0.2)
    low, high = summarize([-99.0, -100.0, -98.0], -100.0, 100.0).interval
    assert -100 <= low < -99 < high < -90
    # An error has one bound.
    low, high = summarize([0.1, 0.5], 0.0, math.inf).interval
    assert (low, high) == pytest.approx((0.0, 0.3 + 12.7062 * 0.2), rel=1e-4)


def test_runs_of_one_task_with_two_metrics_are_in_two_tables() -> None:
    records = [*runs("lora", "accuracy", "a", 80.0, 81.0), *runs("lora", "f1", "a", 70.0)]
    tables, notes = build_tables(records)
    assert [row.scores for table in tables for row in table.rows] == [
        {"a": {0: 80.0, 1: 81.0}},
        {"a": {0: 70.0}},
    ]
    assert notes == [
        "mini, protocol clean: a is scored by F1 and by accuracy, in tables of their own."
    ]


def test_of_several_runs_of_a_seed_the_latest_counts_and_is_named() -> None:
    first, second = runs("lora", "accuracy", "a", 80.0)[0], runs("lora", "accuracy", "a", 90.0)[0]
    later = dataclasses.replace(second, started="2026-05-01T00:00:00+00:00", config_id="later")
    for order in ([first, later], [later, first]):
        (table,), notes = build_tables(order)
        (row,) = table.rows
        assert row.scores == {"a": {0: 90.0}}
        assert row.records == [later]
        assert notes == [
            "lora r=4 has 2 runs of a, seed 0: the one started last counts (later, "
            "2026-05-01T00:00:00+00:00)."
        ]


def test_a_metric_that_is_not_known_is_neither_ranked_nor_compared() -> None:
    records = [*runs("lora", "own", "a", 300.0), *runs("hydra", "own", "a", 200.0)]
    (table,), notes = build_tables(records)
    (part,) = parts(table)
    assert not sheet(part).marks
    assert pairs(table, dict(zip(part.labels, table.rows, strict=True))) == []
    assert "the metric own is not known here" in notes[0]


def test_the_scale_that_most_tasks_have() -> None:
    of = {"a": measure_of("mse"), "b": measure_of("mse"), "c": measure_of("accuracy")}
    assert one_scale("abc", of) == ["a", "b"]
    assert one_scale("ac", of) == ["c"]
