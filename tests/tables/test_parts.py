"""What a table says once for all of its rows, and who is ranked against whom."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from vtab1k_records import vtab_record

from hydra_peft.figures._sheets import describe
from hydra_peft.report.scores import score_table
from hydra_peft.runs.record import Record
from hydra_peft.tables.grouping import build_tables
from hydra_peft.tables.mean_heads import heads_sentence, mean_head
from hydra_peft.tables.overrides import Origin
from hydra_peft.tables.parts import Part, common_overrides, parts
from hydra_peft.tables.render import documents, part_title, sheet, to_frame
from hydra_peft.tables.rows import Table
from hydra_peft.tables.sheet import BEST, SECOND
from hydra_peft.tables.significance import documents as significance

METHODS = ("Hydra", "LoRA", "SeqLoRA", "Linear-probing")
#: what conf gives; a linear head has no dropout
DEFAULTS = {"train.epochs": "recipe", "optimizer.lr": "recipe", "method.dropout": "recipe"}


def run(method: str, task: str, accuracy: float = 70.0, seed: int = 0, **changes: Any) -> Record:
    settings = {**DEFAULTS, "method.name": method, **changes.pop("settings", {})}
    if method == "Linear-probing":
        del settings["method.dropout"]
    return vtab_record(method, task, accuracy, seed, settings=settings, **changes)


def table(records: list[Record]) -> Table:
    origins = {Origin.of(record) for record in records if record.protocol == "clean"}
    (one,), _ = build_tables(records, defaults=dict.fromkeys(origins, DEFAULTS))
    return one


def part(records: list[Record]) -> Part:
    (only,) = parts(table(records))
    return only


def sweep(**settings: Any) -> list[Record]:
    return [
        run(method, task, 60.0 + 3 * number + seed + len(task), seed, settings=settings)
        for number, method in enumerate(METHODS)
        for task in ("dtd", "svhn", "eurosat")
        for seed in (0, 1)
    ]


def test_what_all_rows_override_is_said_once() -> None:
    found = part(sweep(**{"train.epochs": 2, "method.dropout": 0.5, "optimizer.lr": 0.1}))
    assert found.settings_sentence == [
        "All rows: optimizer.lr=0.1, train.epochs=2; method.dropout=0.5 where it applies."
    ]
    assert sorted(found.labels) == ["hydra r=2+2", "linear", "lora r=4", "seqlora r=6"]
    # A line of a file for programs stands alone.
    lines = to_frame([found.table])
    assert "lora r=4 (method.dropout=0.5, optimizer.lr=0.1, train.epochs=2)" in set(lines["method"])


@pytest.mark.parametrize(
    ("own", "others"),
    [
        ({"head.name": "prototypes"}, {"method.name": "hydra"}),
        ({"method.name": "lora", "method.dropout_at": "input"}, {"method.name": "hydra"}),
        ({"optimizer.name": "adamw", "optimizer.decay": "weights"}, {"optimizer.name": "adamw"}),
    ],
)
def test_a_setting_that_a_record_leaves_out_at_its_default_is_not_said_of_all(
    own: dict[str, str], others: dict[str, str]
) -> None:
    named = "=".join(list(own.items())[-1])
    rows: Any = [
        SimpleNamespace(overrides=(named,), settings=own, trains=True),
        SimpleNamespace(overrides=(named,), settings=own, trains=True),
        SimpleNamespace(overrides=(), settings=others, trains=True),
    ]
    assert common_overrides(rows) == ()
    assert common_overrides(rows[:2]) == (named,)


@pytest.mark.parametrize(("rows", "common"), [(3, True), (4, True), (5, False)])
def test_what_few_rows_can_have_is_said_in_theirs(rows: int, common: bool) -> None:
    own = ("method.phm_dim=4",)
    few: Any = [
        SimpleNamespace(overrides=own, settings={"method.phm_dim": 4}, trains=True)
        if number < 2
        else SimpleNamespace(overrides=(), settings={}, trains=True)
        for number in range(rows)
    ]
    assert common_overrides(few) == (own if common else ())


def test_one_row_of_other_settings_says_so_itself() -> None:
    usual = {"train.epochs": 2, "optimizer.lr": 0.1}
    stray = run("Hydra", "dmlab", settings={**usual, "train.epochs": 1})
    found = part([*sweep(**usual), stray])
    assert found.settings_sentence == [
        "All rows: optimizer.lr=0.1; train.epochs=2 unless a label says otherwise."
    ]
    assert "hydra r=2+2 (train.epochs=1)" in found.labels
    assert "hydra r=2+2" in found.labels


def test_what_a_row_leaves_as_it_is_by_default_is_never_said_of_it() -> None:
    found = part([*sweep(**{"train.epochs": 2}), run("Hydra", "dtd")])
    assert found.settings_sentence == []
    assert sorted(found.labels) == [
        "hydra r=2+2",
        "hydra r=2+2 (train.epochs=2)",
        "linear (train.epochs=2)",
        "lora r=4 (train.epochs=2)",
        "seqlora r=6 (train.epochs=2)",
    ]


def test_settings_of_training_are_not_said_of_what_trains_nothing() -> None:
    bare = {"head.name": "text_prompts", "head.norm": "batch", "train.epochs": 0}
    zero_shot = run("Linear-probing", "dtd", settings=bare)
    found = part([*sweep(**{"train.epochs": 2}), zero_shot])
    assert found.settings_sentence == ["All rows: train.epochs=2, where anything is trained."]
    assert "linear" in found.labels
    (row,) = [row for row in found.table.rows if not row.trains]
    assert (row.adapter, mean_head(found, row)) == (0, 0)
    assert heads_sentence(found) == []


def test_a_table_of_what_trains_nothing_says_so() -> None:
    bare = {"head.name": "text_prompts", "train.epochs": 0}
    zero_shot = run("Linear-probing", "dtd", settings=bare)
    alone = part([zero_shot])
    assert ", nothing trained, protocol clean; " in part_title(alone)
    assert "(nothing trained, scored on test), " in describe(alone.table)
    badges = [badge.text for badge in score_table(alone.table, []).badges]
    assert "nothing trained" in badges
    assert "last epoch" not in badges
    beside = part([*sweep(), zero_shot])
    assert ", trained on train, protocol clean, last epoch; " in part_title(beside)


def test_rows_that_would_be_called_alike_keep_their_whole_label() -> None:
    # Older code had no such setting: it was neither overridden nor left as it was.
    old = run("LoRA", "dtd")
    del old.settings["method.dropout"]
    found = part([*sweep(**{"method.dropout": 0.5}), old])
    assert {"lora r=4", "lora r=4 (method.dropout=0.5)", "hydra r=2+2"} <= set(found.labels)


def test_what_only_some_rows_have_a_setting_for_is_not_said_of_all() -> None:
    few = {"dataset.train_size": 40}
    part_of = [run(m, "dtd", settings=few) for m in ("LoRA", "Hydra")]
    found = part([*sweep(), *part_of])
    assert found.settings_sentence == []
    assert {"lora r=4", "lora r=4 (dataset.train_size=40)"} <= set(found.labels)


@pytest.mark.parametrize("form", ["markdown", "latex", "html"])
def test_a_stray_run_costs_nobody_the_mean_and_is_named(form: str) -> None:
    stray = run("Hydra", "dmlab", 40.0, settings={"train.epochs": 1})
    found = part([*sweep(), stray])
    assert list(found.averaged) == ["dtd", "svhn", "eurosat"]
    over_tasks, over_groups = zip(*(found.means(row) for row in found.table.rows), strict=True)
    assert (
        sum(mean is None for mean in over_tasks) == sum(mean is None for mean in over_groups) == 1
    )
    hydra = next(row for row in found.table.rows if row.label == "hydra r=2+2")
    # By hand: dtd 63 and 64, svhn 64 and 65, eurosat 67 and 68; of two groups.
    assert found.means(hydra)[0].value == pytest.approx((63.5 + 64.5 + 67.5) / 3)
    assert found.means(hydra)[1].value == pytest.approx(((63.5 + 64.5) / 2 + 67.5) / 2)
    assert found.mean_titles == ("mean over 3 of 4 tasks", "mean over their groups")
    assert found.means_sentence == [
        "Means are over the tasks that rows share: dtd, svhn, eurosat. Not in them: dmlab (only "
        "hydra r=2+2 (train.epochs=1)). Without these means: hydra r=2+2 (train.epochs=1)."
    ]
    text = next(iter(documents([found.table], [], form).values()))
    assert "Not in them: dmlab" in text
    assert "mean over" in text


def test_seeds_that_differ_by_task_are_the_reason_why_there_is_no_mean() -> None:
    split = [run("LoRA", "dtd", seed=7), run("LoRA", "svhn", seed=8)]
    whole = [r for r in sweep() if r.task != "eurosat" and r.method["name"] != "lora"]
    reason = "Without means, as no one seed has runs on all of their tasks: lora r=4."
    found = part([*whole, *split])
    assert list(found.averaged) == ["dtd", "svhn"]
    assert found.sentences == [reason]
    both = [r for r in whole if r.method["name"] == "hydra"] + split
    assert part(both).sentences == [
        "Means are over the tasks that rows share: dtd. Not in them: svhn (no seed in common with "
        "these)."
    ]
    compared = significance([table([*whole, *split])], "all", [], "markdown")["md"]
    assert reason in compared
    alone = part(split)
    assert (list(alone.averaged), alone.sentences) == (["dtd", "svhn"], [reason])


def test_csv_names_the_tasks_of_a_mean() -> None:
    lines = to_frame([table([*sweep(), run("Hydra", "dmlab", settings={"train.epochs": 1})])])
    means = lines[lines["task"].str.startswith("mean over")]
    assert set(means["tasks"]) == {"dtd,svhn,eurosat"}
    cells = lines[~lines["task"].str.startswith("mean over")]
    assert (cells["tasks"] == cells["task"]).all()
    assert means["mean"].notna().sum() == 2 * len(METHODS)


def test_other_backbones_weights_and_data_are_tables_of_their_own() -> None:
    random = {"kind": "random", "sha256": "0" * 64}
    partial = {"sha256": "part", "partial": True}
    records = [*sweep(), run("Hydra", "dmlab", weights=random), run("LoRA", "dtd", data=partial)]
    first, partly, blank = parts(table(records))
    assert [p.backbone.partition(", ")[2] for p in (first, partly, blank)] == [
        "pretrained 1a2b3c4d",
        "pretrained 1a2b3c4d, PARTIAL DATA",
        "RANDOM WEIGHTS",
    ]
    assert list(first.table.tasks) == list(first.averaged) == ["dtd", "svhn", "eurosat"]
    assert list(blank.table.tasks) == ["dmlab"]
    assert sheet(first).title.endswith("vit_base_patch16_224_in21k, pretrained 1a2b3c4d")
    assert "backbone" not in sheet(first).cells


def marks(records: list[Record], column: str) -> dict[str, int]:
    found = sheet(part(records))
    labels = found.cells["method"]
    return {labels[row]: mark for (row, name), mark in found.marks.items() if name == column}


def test_best_is_bold_and_second_underlined_in_every_format() -> None:
    scores = {"Hydra": 71.04, "LoRA": 70.96, "SeqLoRA": 70.0, "Linear-probing": 60.0}
    records = [run(method, "dtd", score) for method, score in scores.items()]
    # 71.04 and 70.96 are both printed as 71.0.
    expected = {"hydra r=2+2": BEST, "lora r=4": BEST, "seqlora r=6": SECOND}
    assert marks(records, "dtd") == marks(records, "mean over tasks") == expected
    one = table(records)
    for form, bold, underlined in (
        ("markdown", "**71.0**", "<u>70.0</u>"),
        ("latex", r"\textbf{71.0}", r"\underline{70.0}"),
        ("html", "<strong>71.0</strong>", "<u>70.0</u>"),
    ):
        text = next(iter(documents([one], [], form).values()))
        assert text.count(bold) == 2 * 3, form
        assert text.count(underlined) == 3, form
        assert "Bold is the best on a task or by a mean" in text
    alone = next(iter(documents([table(records[:1])], [], "markdown").values()))
    assert "Bold is" not in alone


def test_rows_of_unchecked_settings_are_not_ranked_beside_others() -> None:
    scores = {"Hydra": 90.0, "LoRA": 70.0, "SeqLoRA": 60.0}
    records = [run(method, "dtd", score) for method, score in scores.items()]
    origins = {Origin.of(record) for record in records[1:]}
    (one,), _ = build_tables(records, defaults=dict.fromkeys(origins, DEFAULTS))
    (found,) = parts(one)
    cells = dict(zip(found.labels, found.ranked_cells(1), strict=True))
    assert cells["hydra r=2+2 (SETTINGS NOT CHECKED)"][0][1] is None
    assert (cells["lora r=4"][0][1], cells["seqlora r=6"][0][1]) == (BEST, None)
    (none,), _ = build_tables(records, defaults={})
    assert parts(none)[0].settings_sentence == ["All rows: SETTINGS NOT CHECKED."]
    # Among themselves they are.
    ranked = dict(zip(parts(none)[0].labels, parts(none)[0].ranked_cells(1), strict=True))
    assert {label: cells[0][1] for label, cells in ranked.items()} == {
        "hydra r=2+2": BEST,
        "lora r=4": SECOND,
        "seqlora r=6": None,
    }


def test_intervals_in_a_frame_stay_between_the_bounds() -> None:
    frame = to_frame([table([run("Hydra", "dtd", x, s) for s, x in enumerate((99.0, 99.9, 99.8))])])
    assert isinstance(frame, pd.DataFrame)
    assert frame["ci95_high"].max() < 100.0
    assert frame["ci95_low"].min() > 0.0


def uneven(*, seeds: tuple[int, ...] = (1, 2, 3)) -> list[Record]:
    """LoRA on svhn with ``seeds``, all else with seeds 0 to 2."""
    found = [
        run(method, task, 60.0 + 5 * seed + len(task), seed)
        for method in ("Hydra", "LoRA")
        for task in ("dtd", "svhn")
        for seed in (0, 1, 2)
        if (method, task) != ("LoRA", "svhn")
    ]
    return [*found, *(run("LoRA", "svhn", 64.0 + 5 * seed, seed) for seed in seeds)]


@pytest.mark.parametrize("form", ["markdown", "latex", "html"])
def test_a_mean_over_fewer_seeds_than_its_columns_says_so(form: str) -> None:
    text = next(iter(documents([table(uneven())], [], form).values()))
    # Seeds 1 and 2 have both tasks: 68, 73 and 69, 74; the columns' means are 68 and 74.
    assert text.count("(n=2)") == 2
    assert text.count("it is not the mean of the numbers of these tasks") == 1
    if form == "markdown":
        assert "| 68.0 ± 5.0 | 74.0 ± 5.0 |" in re.sub(" +", " ", text.replace("*", ""))
        assert text.count("71.0 ± 3.5 (n=2)") == 2


def test_a_cell_with_fewer_seeds_than_its_row_says_so() -> None:
    text = documents([table(uneven(seeds=(0, 1)))], [], "markdown")["md"]
    assert "66.5 ± 3.5 (n=2)" in text
    assert "| 2-3 " in text
    assert "(n=" not in documents([table(uneven(seeds=(0, 1, 2)))], [], "markdown")["md"]
    assert "n=" not in documents([table(uneven(seeds=(0, 1, 2)))], [], "markdown")["md"]
