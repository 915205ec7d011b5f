"""What is averaged with what, against numbers worked out by hand."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import pytest
from fabricated_runs import agreeing
from flat_results import flat, in_fields

from hydra_peft.errors import UserError
from hydra_peft.runs.collection import collect
from hydra_peft.runs.record import Record, write_record
from hydra_peft.tables.formats import to_markdown as markdown
from hydra_peft.tables.grouping import build_tables
from hydra_peft.tables.mean_heads import mean_head
from hydra_peft.tables.parts import parts
from hydra_peft.tables.render import sheet, to_frame
from hydra_peft.tables.rows import Table
from hydra_peft.tables.summaries import weights_over

GROUPS = {"a": "natural", "b": "structured", "c": "structured"}


def record(task: str, seed: int, accuracy: float, **changes: Any) -> Record:
    values: dict[str, Any] = {
        "status": "completed",
        "config_id": f"{task}{seed}",
        "settings": {"method.name": "lora", "train.epochs": "recipe"},
        "benchmark": "mini",
        "group": GROUPS[task],
        "task": task,
        "model": "vit_mini",
        "method": {"name": "lora"},
        "method_label": "lora r=4",
        "protocol": "clean",
        "seed": seed,
        "science": {"seed": seed, "dataset": task},
        "started": f"2026-01-01T00:00:0{seed}+00:00",
        "weights": {"kind": "pretrained", "sha256": "f" * 64},
        "data": {"sha256": f"data of {task}"},
        "metrics": {
            "accuracy": accuracy,
            "correct": 1,
            "count": 2,
            "split": "test",
            "selection": "last epoch",
        },
        "parameters": {"adapter": 100, "head": {"a": 10, "b": 20, "c": 30}[task]},
    }
    return agreeing(Record(**in_fields({**values, **changes})))


def to_markdown(table: Table) -> str:
    return "\n".join(markdown(sheet(part)) for part in parts(table))


SCORES = {"a": [90.0, 92.0], "b": [50.0, 60.0], "c": [70.0, 74.0]}
FULL = [record(t, s, SCORES[t][s]) for t in SCORES for s in (0, 1)]


def test_rows_on_other_images_are_named() -> None:
    def run(method: str, task: str, test: str, **splits: str) -> Record:
        data = {
            "sha256": f"{method} {splits}",
            "splits": {"train": "1" * 64, "test": test, **splits},
        }
        settings = {"m": method}
        return record(task, 0, 50.0, method={"name": method}, settings=settings, data=data)

    tuned = run("seqlora", "a", "2" * 64, validation="3" * 64)  # read more, of the same
    same = [run("lora", "a", "2" * 64), run("hydra", "a", "2" * 64), tuned]
    assert build_tables(same)[1] == []
    other = [*same, run("lora", "b", "4" * 64), run("hydra", "b", "5" * 64)]
    assert build_tables(other)[1] == [
        "mini, protocol clean: b has different examples in test: 44444444 (lora r=4); 55555555 "
        "(hydra r=2+2). Differences between such runs are not of methods alone."
    ]


def test_means_and_deviations_by_hand() -> None:
    (table,), warnings = build_tables(FULL)
    (row,) = table.rows
    assert warnings == []
    assert list(table.tasks) == ["a", "b", "c"]
    cell = row.cell("b")
    assert (cell.value, cell.std, cell.count) == (
        55.0,
        pytest.approx(statistics.stdev([50, 60])),
        2,
    )
    tasks = row.mean(weights_over("tasks", table.tasks))
    assert tasks.value == pytest.approx((70 + 226 / 3) / 2)
    assert tasks.std == pytest.approx(statistics.stdev([70, 226 / 3]))
    groups = row.mean(weights_over("groups", table.tasks))
    # Per seed: (natural + mean of the two structured ones) / 2.
    assert groups.value == pytest.approx(((90 + 60) / 2 + (92 + 67) / 2) / 2)
    assert mean_head(parts(table)[0], row) == 20


def test_markdown_labels_both_means_and_both_counts() -> None:
    (table,), _ = build_tables(FULL)
    text = to_markdown(table)
    for part in (
        "protocol clean, last epoch",
        "mean over tasks",
        "mean over groups",
        "parameters without head",
        "with mean head",
        "55.0 ± 7.1",
        "| 100 ",
        "| 120 ",
        "natural: a; structured: b, c",
    ):
        assert part in text, part


def test_many_rows_of_other_data_are_one_sentence() -> None:
    others = [record("a", 0, 50.0, data={"sha256": f"copy {number}"}) for number in range(6)]
    _, warnings = build_tables([record("a", 0, 90.0), *others])
    (said,) = [warning for warning in warnings if "other data" in warning]
    assert said.endswith(
        "(apart 3)' and 3 more have other data or another recipe on a than the rows of the same "
        "names: not averaged together."
    )


def test_frame_has_a_line_for_each_cell_and_mean() -> None:
    frame = to_frame(build_tables(FULL)[0])
    assert list(frame["task"]) == ["a", "b", "c", "mean over tasks", "mean over groups"]
    assert frame["seeds"].tolist() == [2] * 5


def test_no_mean_over_an_incomplete_row() -> None:
    other = [record("a", 0, 80.0, settings={"method.name": "hydra"}, method={"name": "hydra"})]
    (table,), _ = build_tables(FULL + other)
    row = next(row for row in table.rows if row.label == "hydra r=2+2")
    assert row.mean(weights_over("tasks", table.tasks)) is None
    assert row.mean(weights_over("groups", table.tasks)) is None
    assert row.cell("b") is None
    assert "| -" in to_markdown(table)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": {"sha256": "other"}}, "other data or another recipe on a"),
        ({"science": {"optimizer": {"lr": 1}}}, "other data or another recipe on a"),
        ({"weights": {"kind": "pretrained", "sha256": "e" * 64}}, "different backbone weights"),
        ({"weights": {"kind": "random", "sha256": "e" * 64}}, "different backbone weights"),
        ({"protocol": "official"}, "different protocols"),
        ({"data": {"sha256": "data of a", "partial": True}}, "part of the data (PARTIAL DATA)"),
    ],
)
def test_what_differs_is_never_averaged(change: dict[str, Any], message: str) -> None:
    odd = record("a", 2, 10.0, **change)
    tables, warnings = build_tables([*FULL, odd])
    cells = [row.cell("a") for table in tables for row in table.rows]
    assert sorted(cell.value for cell in cells) == [10.0, 91.0]
    assert any(message in warning for warning in warnings)


def test_two_recipes_on_each_task_are_never_joined_into_one_mean() -> None:
    runs = []
    for task, counts in (("a", (1, 3)), ("b", (3, 1)), ("c", (2, 2))):
        for lr, accuracy, count in ((1e-2, 90.0, counts[0]), (1e-4, 10.0, counts[1])):
            science = {"optimizer": {"lr": lr}, "dataset": task}
            runs += [
                record(task, s, accuracy, science={**science, "seed": s}) for s in range(count)
            ]
    (table,), warnings = build_tables(runs)
    means = sorted(row.mean(weights_over("tasks", table.tasks)).value for row in table.rows)
    assert means == [pytest.approx(10.0), pytest.approx(90.0)]
    assert any("not averaged together" in warning for warning in warnings)


def test_random_weights_are_named_in_the_table() -> None:
    runs = [
        record("a", s, 50.0 + s, weights={"kind": "random", "sha256": str(s) * 64}) for s in (0, 1)
    ]
    (table,), _ = build_tables(runs)
    assert len(table.rows) == 1
    assert "RANDOM WEIGHTS" in to_markdown(table)


def test_partial_data_and_selection_on_the_test_set_are_named_in_the_table() -> None:
    best = {**flat(FULL[0]), "selection": "best of 10 evaluations on test"}
    data = {"sha256": "a", "partial": True, "lineage": "rebuilt"}
    runs = [record("a", 0, 50.0, metrics=best, data=data), record("b", 0, 50.0, metrics=best)]
    (table,), warnings = build_tables(runs)
    text = to_markdown(table)
    assert text.startswith("### mini (selected on the test set): ")
    assert ", PARTIAL DATA\n" in text
    assert any("lineages: not stated (b); rebuilt (a)" in warning for warning in warnings)
    on_val = {**best, "split": "val200", "selection": "best of 10 evaluations on val200"}
    (table,), _ = build_tables([record("a", 0, 50.0, metrics=on_val)])
    assert "selected on the test set" not in to_markdown(table)


def test_notes_on_data_stand_below_the_tables_once_a_task() -> None:
    def runs(task: str, notes: object) -> list[Record]:
        data = {"sha256": task, "notes": notes}
        return [
            record(task, s, 1.0, data=data, protocol=p) for s in (0, 1) for p in ("clean", "paper")
        ]

    _, warnings = build_tables([*runs("b", ["Not VTAB-1k's."]), *runs("a", ["Odd."]), *FULL[4:]])
    assert warnings[:2] == ["data of a: Odd.", "data of b: Not VTAB-1k's."]
    assert not any("data of" in warning for warning in warnings[2:])
    assert build_tables(runs("a", "edited"))[1] == build_tables(runs("a", []))[1]


def test_rows_of_one_label_say_what_tells_them_apart() -> None:
    longer = {"method.name": "lora", "train.epochs": 50}
    (table,), _ = build_tables([*FULL, record("a", 0, 1.0, settings=longer)])
    assert sorted(row.label for row in table.rows) == [
        "lora r=4 (train.epochs=50)",
        "lora r=4 (train.epochs=recipe)",
    ]


def test_rows_without_defaults_to_hold_them_against_say_so() -> None:
    (table,), warnings = build_tables(FULL, defaults={})
    assert [row.label for row in table.rows] == ["lora r=4 (SETTINGS NOT CHECKED)"]
    assert any("SETTINGS NOT CHECKED" in warning for warning in warnings)


def test_collect_names_what_it_leaves_out(tmp_path: Path) -> None:
    write_record(FULL[0], tmp_path / "one")
    write_record(FULL[0], tmp_path / "copy")
    write_record(record("b", 0, 0.0, status="failed"), tmp_path / "two")
    write_record(FULL[1], tmp_path / "three")
    (tmp_path / "three" / "result.json").write_text("{")
    write_record(FULL[2], tmp_path / "four.superseded-1")
    collection = collect(tmp_path)
    assert collection.records == [FULL[0]]
    text = " ".join(collection.warnings)
    assert "is there twice" in text
    assert "1 failed" in text
    assert "not valid json" in text


def test_no_runs_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no run"):
        collect(tmp_path)
    with pytest.raises(UserError, match="is not a folder"):
        collect(tmp_path / "nowhere")


@pytest.mark.parametrize("weights", [{"kind": "random", "sha256": "f" * 64}, {}, {"kind": None}])
def test_what_does_not_say_pretrained_is_not_called_so(weights: dict[str, Any]) -> None:
    (table,), _ = build_tables([record("a", 0, 50.0, weights=weights)])
    assert [row.weights for row in table.rows] == ["RANDOM WEIGHTS"]


def roled(task: str, seed: int, accuracy: float, test: str, **metrics: Any) -> Record:
    """A run of a task whose test split is called ``test``; further ones are ``f1``, ``f2``."""
    roles = {"train": "train", "fit": None, "val": None, "test": test, "further": ["f1", "f2"]}
    settings = {"method.name": "lora", "protocol.evaluate_split": test}
    return record(
        task,
        seed,
        accuracy,
        settings=settings,
        science={"seed": seed, "dataset": {"splits": roles}},
        metrics={
            **{"accuracy": accuracy, "correct": 1, "count": 2},
            **{"split": test, "selection": "last epoch", **metrics},
        },
    )


def test_tasks_that_name_their_test_splits_differently_share_a_row() -> None:
    of_tasks = [roled("a", 0, 50.0, "test"), roled("b", 0, 70.0, "validation_matched")]
    (table,), warnings = build_tables(of_tasks)
    assert (table.split, table.trained_on, warnings) == ("test", "train", [])
    (row,) = table.rows
    assert {task: list(scores.values()) for task, scores in row.scores.items()} == {
        "a": [50.0],
        "b": [70.0],
    }
    assert table.on_test
    assert not table.selected_on_test
    (alone,), _ = build_tables(of_tasks[1:])
    assert alone.split == "validation_matched"
    further = [roled("b", 1, 60.0, "validation_matched", split=split) for split in ("f1", "f2")]
    tables = build_tables([*of_tasks, *further])[0]
    assert [table.split for table in tables] == ["f1", "f2", "test"]
    assert all(table.on_test for table in tables)


def test_an_epoch_selected_on_a_test_split_of_any_name_says_so() -> None:
    best = roled("b", 0, 70.0, "held", selection="best of 10 evaluations on held")
    (table,), _ = build_tables([best])
    assert table.selected_on_test
    assert table.selection == "best of 10 evaluations on held"


def test_seeds_that_start_from_runs_of_their_own_seeds_share_a_row() -> None:
    def started(seed: int, settings: str) -> Record:
        start = {"config_id": f"{seed}", "adapter": f"{seed}" * 64}
        kept = {"task": "glue/mnli", "settings": settings}
        return record(
            "a",
            seed,
            50.0,
            init_from=start | kept,
            science={"init_from": start | kept},
            settings={"m": 1, **{f"init_from.{key}": value for key, value in kept.items()}},
        )

    fresh = [record("a", seed, 50.0, settings={"m": 1}) for seed in (0, 1)]
    runs = [*fresh, started(0, "x"), started(1, "x"), started(0, "y")]
    (table,), _ = build_tables(runs)
    assert sorted(len(row.scores["a"]) for row in table.rows) == [1, 2, 2]
    assert len({row.label for row in table.rows}) == 3


def test_seeds_that_draw_their_own_shots_share_a_row() -> None:
    def drawn(seed: int, train: str, test: str, method: str = "lora", **more: Any) -> Record:
        data = {"sha256": train + test, "splits": {"train": train, "test": test}}
        settings = {"m": method, "dataset.shots": 5, "dataset.sampling_seed": "seed", **more}
        return record("a", seed, 50.0, method={"name": method}, settings=settings, data=data)

    runs = [
        drawn(0, "1" * 64, "f" * 64),
        drawn(1, "2" * 64, "f" * 64),
        drawn(2, "3" * 64, "f" * 64),
    ]
    (table,), notes = build_tables(runs)
    assert [sorted(row.scores["a"]) for row in table.rows] == [[0, 1, 2]]
    assert notes == []
    # another test set is other data; so is another draw of one seed, or a draw that no seed makes
    (table,), notes = build_tables([*runs, drawn(3, "4" * 64, "e" * 64)])
    assert [sorted(row.scores["a"]) for row in table.rows] == [[0, 1, 2], [3]]
    notes = build_tables([*runs, drawn(0, "9" * 64, "f" * 64, "hydra")])[1]
    assert notes == [
        "mini, protocol clean: a has different examples in train: 11111111 (lora r=4); 99999999 "
        "(hydra r=2+2). Differences between such runs are not of methods alone."
    ]
    fixed = {"dataset.sampling_seed": 0}
    (table,), _ = build_tables([drawn(s, str(s) * 64, "f" * 64, **fixed) for s in (0, 1)])
    assert len(table.rows) == 2


@pytest.mark.parametrize(
    ("ranks", "label"),
    [
        ([4, 4, 4], "lora r=4"),
        ([8, 4, 8], "lora r=4 or lora r=8"),
        ([1, 2, 4], "lora, 3 sizes"),
    ],
)
def test_a_row_whose_sizes_differ_by_task_says_how_many_there_are(
    ranks: list[int], label: str
) -> None:
    found = [
        record(task, 0, 50.0, method={"name": "lora", "rank": rank}, method_label=f"lora r={rank}")
        for task, rank in zip(GROUPS, ranks, strict=True)
    ]
    (table,), _ = build_tables(found)
    (row,) = table.rows
    assert row.name == label
