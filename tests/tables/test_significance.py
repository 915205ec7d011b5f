"""Rows against each other: intervals, wins and what is paired with what, by hand."""

from __future__ import annotations

import dataclasses
import io
import math
import re
from typing import Any

import pandas as pd
import pytest
from vtab1k_records import vtab_record

from hydra_peft.errors import UserError
from hydra_peft.plain_text import shortened_apart
from hydra_peft.runs.record import Record
from hydra_peft.tables.grouping import build_tables
from hydra_peft.tables.overrides import Origin
from hydra_peft.tables.pairs import pairs
from hydra_peft.tables.rows import Row, Table
from hydra_peft.tables.significance import documents

TASKS = ("cifar100", "dtd", "svhn")
#: by method, task and seed
SCORES = {
    "Hydra": ((70.0, 72.0), (60.0, 61.0), (50.0, 50.0)),
    "LoRA": ((69.0, 70.0), (61.0, 62.0), (50.0, 50.0)),
}


def records(**changes: Any) -> list[Record]:
    settings = {"model": changes.get("model")}
    return [
        vtab_record(
            method, task, score, seed, settings={"method.name": method, **settings}, **changes
        )
        for method, rows in SCORES.items()
        for task, scores in zip(TASKS, rows, strict=True)
        for seed, score in enumerate(scores)
    ]


def table(runs: list[Record]) -> Table:
    (only,) = build_tables(runs)[0]
    return only


def by_label(one: Table) -> dict[str, Row]:
    return {row.label: row for row in one.rows}


def test_a_pair_by_hand() -> None:
    one = table(records())
    (pair,) = pairs(one, by_label(one))
    assert (pair.first, pair.second) == ("hydra r=2+2", "lora r=4")
    assert pair.differences["cifar100"] == {0: 1.0, 1: 2.0}
    assert [pair.mean(task) for task in TASKS] == [1.5, -1.0, 0.0]
    assert [pair.seeds_won(task) for task in TASKS] == [(2, 0, 0), (0, 0, 2), (0, 2, 0)]
    assert pair.tasks_won == (1, 1, 1)
    # Seed 0: (1 - 1 + 0) / 3; seed 1: (2 - 1 + 0) / 3.
    assert (pair.over_tasks.value, pair.over_tasks.count) == (pytest.approx(1 / 6), 2)
    assert pair.over_tasks.std == pytest.approx((1 / 3) / math.sqrt(2))
    assert (pair.test.pairs, pair.test.statistic, pair.test.p) == (2, 1, 1.0)


def test_only_seeds_that_both_have_are_paired() -> None:
    runs = [r for r in records() if not (r.method["name"] == "lora" and r.seed == 1)]
    runs = [r for r in runs if not (r.method["name"] == "lora" and r.task == "svhn")]
    one = table([*runs, vtab_record("LoRA", "svhn", 9.0, 7, settings=runs[-1].settings)])
    (pair,) = pairs(one, by_label(one))
    assert {task: list(found) for task, found in pair.differences.items()} == {
        "cifar100": [0],
        "dtd": [0],
    }
    assert pair.left_out == ["svhn"]
    text = documents([one], "all", [], "markdown")["md"]
    assert "No seed in common on svhn, left out: hydra r=2+2 vs lora r=4." in text


def test_a_row_without_a_run_on_a_task_is_named_once() -> None:
    settings = {"method.name": "seqlora"}
    pairs_of = [(task, seed) for task in TASKS for seed in (0, 1)]
    others = [vtab_record("SeqLoRA", t, 9.0, s, settings=settings) for t, s in pairs_of]
    runs = [r for r in records() if not (r.method["name"] == "lora" and r.task == "svhn")]
    text = documents([table([*runs, *others])], "all", [], "markdown")["md"]
    assert text.count("No run on svhn, which is left out of their differences: lora r=4.") == 1
    assert "No seed in common" not in text


def test_both_names_of_a_pair_stay_when_they_are_cut() -> None:
    runs = [
        dataclasses.replace(
            r,
            settings={
                **r.settings,
                **{f"method.option_number_{n}": [n, r.label] for n in range(9)},
            },
        )
        for r in records()
    ]
    (one,) = build_tables(runs, defaults={Origin.of(r): {} for r in runs})[0]
    assert min(len(row.label) for row in one.rows) > 200
    text = documents([one], "all", [], "markdown")["md"]
    assert re.search(r"\| hydra r=2\+2 [^|]*… vs lora r=4 [^|]*… \|", text)
    assert "of texts of more than 95 characters" in text


def test_other_backbones_weights_and_data_are_not_paired() -> None:
    random = {"kind": "random", "sha256": "0" * 64}
    for change in (
        {"model": "vit_mini"},
        {"weights": random},
        {"data": {"sha256": "part", "partial": True}},
    ):
        runs = [r for r in records() if r.method["name"] == "hydra"]
        runs += [r for r in records(**change) if r.method["name"] == "lora"]
        one = table(runs)
        assert pairs(one, by_label(one)) == []
        text = documents([one], "hydra,lora", [], "markdown")["md"]
        assert "no two of these rows are on the same backbone" in text


def test_names_that_never_stand_together_are_told() -> None:
    runs = [*records(), *[r for r in records(protocol="official") if r.method["name"] == "lora"]]
    names = ("seqlora", "hydra")
    tables = build_tables([*runs, vtab_record("SeqLoRA", "dtd", 50.0, 0, protocol="official")])[0]
    text = documents(tables, ",".join(["lora", *names]), [], "markdown")["md"]
    assert "not compared: hydra and seqlora: they have no table in common" in text
    assert "hydra and lora" not in text


def test_one_row_alone_asks_for_others() -> None:
    text = documents([table(records())], "hydra", [], "markdown")["md"]
    assert "compare=hydra is of one row: name others beside it, or compare=all." in text
    assert "no other row" not in text


def test_where_nothing_differs_no_p_is_explained() -> None:
    same = [vtab_record(method, "dtd", 50.0, 0) for method in SCORES]
    text = documents([table(same)], "hydra, lora", [], "markdown")["md"]
    assert "nothing differs" in text
    assert "No p below" not in text


def test_what_is_printed() -> None:
    text = documents([table(records())], "hydra, lora", ["a note"], "markdown")["md"]
    for part in (
        "71.0 ± 1.4 [57.1, 81.8] (2)",
        "| hydra r=2+2 vs lora r=4 | 3 ",
        "| 1-1-1 ",
        "exact; no p below 0.5 |",
        "Wilson's with Student's t",
        "signed-rank test over the tasks' mean differences",
        "+1.5 (2-0-0)",
        "> note: a note",
    ):
        assert part in text, part


def test_csv_has_means_differences_and_the_test() -> None:
    back = pd.read_csv(io.StringIO(documents([table(records())], "all", [], "csv")["csv"]))
    means = back[back["second"].isna()]
    assert len(means) == 2 * (3 + 2)
    pair = back[back["second"].notna()].set_index("task")
    assert pair.loc["cifar100", ["value", "wins", "ties", "losses"]].tolist() == [1.5, 2, 0, 0]
    assert pair.loc["mean over tasks", "wilcoxon_p"] == 1.0
    assert pair.loc["mean over tasks", "wilcoxon_method"] == "exact"


@pytest.mark.parametrize("form", ["markdown", "csv", "latex", "html"])
def test_labels_with_commas_are_found(form: str) -> None:
    runs = records(data={"sha256": "part", "partial": True})
    (text, *_) = documents(
        [table(runs)], "hydra r=2+2, PARTIAL DATA,lora r=4, PARTIAL DATA", [], form
    ).values()
    assert "hydra r=2+2" in text
    assert "PARTIAL DATA" in text
    with pytest.raises(UserError, match=r"no measured row is called 'hydra r=2'.*did you mean"):
        documents([table(runs)], "hydra r=2,lora", [], form)


def listing_table() -> tuple[Table, list[str]]:
    """Rows whose labels hold lists, one of them over 200 characters; also their labels."""
    betas = {"optimizer.betas": [0.9, 0.99]}
    many = {f"method.option_number_{n}": [n, "q", "v"] for n in range(9)}
    changes: dict[str, dict[str, Any]] = {"Hydra": {}, "LoRA": betas, "SeqLoRA": many}
    runs = [
        vtab_record(name, "dtd", 50.0, seed, settings={"method.name": name, **changed})
        for name, changed in changes.items()
        for seed in (0, 1)
    ]
    (one,), _ = build_tables(runs, defaults={Origin.of(run): {} for run in runs})
    return one, [row.label for row in one.rows]


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (2, 1), (1, 2, 0)])
def test_labels_with_lists_are_found_as_they_are_printed(order: tuple[int, ...]) -> None:
    one, labels = listing_table()
    assert sum("[" in label for label in labels) == 2
    for printed in (labels, shortened_apart(labels, 200), shortened_apart(labels, 95)):
        chosen = ",".join(printed[at] for at in order)
        frame = pd.read_csv(io.StringIO(documents([one], chosen, [], "csv")["csv"]))
        assert set(frame["first"]) == {labels[at] for at in order}


def test_labels_with_commas_are_quoted_where_they_are_listed() -> None:
    one, labels = listing_table()
    betas = next(label for label in labels if "betas" in label)
    with pytest.raises(UserError, match=r"called 'xyz'; there are .*'lora r=4 \(.*=\[.*\]\)'"):
        documents([one], f"{betas},xyz", [], "csv")
    with pytest.raises(UserError, match=r"did you mean 'lora r=4 \(.*=\[0.9,0.99\]"):
        documents([one], f"hydra,{betas.replace('0.99', '0.98')}", [], "csv")


def test_a_row_is_offered_once_however_it_may_be_called() -> None:
    one, labels = listing_table()
    (printed,) = (short for short in shortened_apart(labels, 200) if "…" in short)
    with pytest.raises(UserError) as caught:
        documents([one], "option_number_3,lora", [], "csv")
    assert f"(did you mean '{printed}'?)" in str(caught.value)


def test_rows_of_one_label_are_told_apart() -> None:
    runs = [*records(), *records(model="vit_mini")]
    frame = pd.read_csv(io.StringIO(documents([table(runs)], "all", [], "csv")["csv"]))
    rows = frame[["first", "model", "weights"]].drop_duplicates()
    assert set(rows["first"]) == {"hydra r=2+2", "lora r=4"}
    assert set(rows["model"]) == {"vit_base_patch16_224_in21k", "vit_mini"}
    assert set(rows["weights"]) == {"pretrained 1a2b3c4d"}
    assert len(rows) == 4
    pair = frame[frame["second"].notna() & (frame["task"] == "mean over tasks")]
    assert sorted(pair["model"]) == ["vit_base_patch16_224_in21k", "vit_mini"]


def stray_table() -> Table:
    """Two rows on three tasks, a stray task of one of them, and a row with other settings."""
    strays = [
        vtab_record("LoRA", "dmlab", 40.0, settings={"method.name": "LoRA", "model": None}),
        vtab_record("LoRA", "dtd", 10.0, settings={"method.name": "LoRA", "epochs": 1}),
    ]
    runs = [*records(), *strays]
    usual = {"method.name": None, "model": None, "epochs": 100}
    (one,), _ = build_tables(runs, defaults={Origin.of(run): usual for run in runs})
    return one


@pytest.mark.parametrize("chosen", ["all", "hydra,lora"])
@pytest.mark.parametrize("form", ["markdown", "latex"])
def test_strays_are_left_out_and_named(chosen: str, form: str) -> None:
    text = next(iter(documents([stray_table()], chosen, [], form).values()))
    said = (
        "Left out, as they share too little with the others: lora r=4 (epochs=1) (only on dtd); "
        "task dmlab (only lora r=4). A row is kept where it is named by its label."
    )
    assert text.count(said) == 1
    assert text.count("epochs=1") == text.count("dmlab") == 1
    assert "mean over tasks" in text


def test_a_stray_that_is_named_is_compared() -> None:
    text = documents([stray_table()], "hydra, lora r=4 (epochs=1)", [], "markdown")["md"]
    assert "| hydra r=2+2 vs lora r=4 (epochs=1) | 1 " in text
    assert "task cifar100 (only hydra r=2+2); task svhn (only hydra r=2+2).\n" in text


def test_a_row_that_no_other_shares_a_task_with_is_named() -> None:
    runs = [r for r in records() if r.task != "svhn" or r.method["name"] == "hydra"]
    other = {**runs[0].settings, "method.name": "seqlora"}
    alone = vtab_record("SeqLoRA", "svhn", 50.0, 7, settings=other)
    text = documents([table([*runs, alone])], "hydra, lora, seqlora", [], "markdown")["md"]
    said = "No differences of seqlora r=6 (on svhn): no other row here has the same task with the "
    assert text.count(said) == 1


def uneven_records() -> list[Record]:
    """Of seed 9 LoRA has cifar100 alone, on which it is far better."""
    runs = records()
    lora, hydra = (next(r for r in runs if r.method["name"] == name) for name in ("lora", "hydra"))
    return [
        *runs,
        vtab_record("LoRA", "cifar100", 99.0, 9, settings=lora.settings),
        vtab_record("Hydra", "cifar100", 1.0, 9, settings=hydra.settings),
    ]


def test_all_of_one_line_is_of_the_same_seeds() -> None:
    one = table(uneven_records())
    (pair,) = pairs(one, by_label(one))
    (even,) = pairs(table(records()), by_label(table(records())))
    assert (pair.seeds, pair.uneven, even.uneven) == ([0, 1], True, False)
    assert (pair.over_tasks, pair.tasks_won, pair.test) == (
        even.over_tasks,
        even.tasks_won,
        even.test,
    )
    assert pair.seeds_won("cifar100") == (2, 0, 1)
    text = documents([one], "all", [], "markdown")["md"]
    assert "| 1-1-1 " in text
    said = (
        "- Each task is over all seeds that both rows have on it, which are more than those of the "
        "differences over tasks for hydra r=2+2 vs lora r=4.\n"
    )
    assert text.count(said) == 1
    assert said not in documents([table(records())], "all", [], "markdown")["md"]


def test_without_a_seed_of_all_tasks_wins_are_of_the_seeds_of_each() -> None:
    runs = [r for r in uneven_records() if (r.task == "cifar100") == (r.seed == 9)]
    runs = [r for r in runs if r.task != "svhn"]
    one = table(runs)
    (pair,) = pairs(one, by_label(one))
    assert (pair.seeds, pair.over_tasks, pair.tasks_won) == ([], None, (0, 0, 2))
    text = documents([one], "all", [], "markdown")["md"]
    assert "so that wins and test are over those that they share on each." in text
