"""What may stand in one picture, and how series look."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from made_up import made_up, put, scores

from hydra_peft.errors import UserError
from hydra_peft.figures import all_figures, find_figure
from hydra_peft.figures._base import CollectionFigure
from hydra_peft.figures._sheets import Selection, choose, complete_part, ranks_of
from hydra_peft.runs.collection import Collection
from hydra_peft.tables.grouping import build_tables
from hydra_peft.tables.labels import RANDOM
from hydra_peft.tables.overrides import Origin
from hydra_peft.tables.parts import parts
from hydra_peft.tables.rows import Row

#: everything that is never compared, and how a run has it
APART: dict[str, dict[str, Any]] = {
    "benchmark": {"benchmark": "other"},
    "protocol": {"protocol": "paper"},
    "training split": {"settings": {"protocol.train_split": "train800"}},
    "split": {"metrics": {"split": "val200"}},
    "selection": {"metrics": {"selection": "best of 2 evaluations on test"}},
    "weights": {"weights": {"kind": "pretrained", "sha256": "9" * 64}},
    "random weights": {"weights": {"kind": "random", "sha256": "8" * 64}},
    "model": {"model": "vit_other", "settings": {"model.architecture": "vit_other"}},
    "partial data": {"data": {"sha256": "data of a", "partial": True}},
}


@pytest.mark.parametrize("what", APART)
def test_what_is_never_compared_is_another_picture(tmp_path: Path, what: str) -> None:
    usual = scores("lora", {"a": [1.0, 2.0, 3.0]})
    collection = put(tmp_path, *usual, made_up("lora", "a", 0, 50.0, **APART[what]))
    sheet = choose(collection, Selection())
    assert [record.score for row in sheet.table.rows for record in row.records] == [
        1.0,
        2.0,
        3.0,
    ]
    (note,) = [note for note in sheet.notes if note.startswith("not in this picture")]
    assert "1 run on" in note
    assert note.endswith("sheet=2.")
    other = choose(collection, Selection(sheet=2))
    assert [record.score for record in other.table.rows[0].records] == [50.0]
    with pytest.raises(UserError, match="sheet=3 is too large: these runs make 2"):
        choose(collection, Selection(sheet=3))


@pytest.mark.parametrize(
    ("what", "mark"),
    [
        ("random weights", "RANDOM WEIGHTS"),
        ("partial data", "PARTIAL DATA"),
        ("selection", "EPOCH SELECTED ON THE TEST SET"),
    ],
)
def test_what_must_not_be_overlooked_is_in_every_picture(
    tmp_path: Path, what: str, mark: str
) -> None:
    by_task = {"a": [50.0, 52.0], "b": [60.0, 61.0]}
    runs = [*scores("lora", by_task, **APART[what]), *scores("hydra", by_task, **APART[what])]
    runs += scores("lora", {"a": [58.0]}, rank=8, **APART[what])
    collection = put(tmp_path, *runs)
    for figure in all_figures():
        if isinstance(figure, CollectionFigure) and figure.name in ("pareto", "curves", "ranks"):
            data = figure.data(collection, figure.settings())
            (legend,) = figure.draw(data).legends
            assert legend.get_title().get_text() == mark
    figure = find_figure("gain")
    data = figure.data(collection, figure.settings(baseline="lora r=4"))
    assert figure.draw(data).legends[0].get_title().get_text() == mark
    if what == "random weights":
        assert RANDOM in data.caption


def test_only_what_is_asked_for(tmp_path: Path) -> None:
    collection = put(
        tmp_path,
        *scores("lora", {"a": [1.0], "b": [2.0]}),
        *scores("hydra", {"a": [3.0]}),
        *scores("lora", {"a": [4.0]}, protocol="paper"),
    )
    sheet = choose(collection, Selection(methods="hydra,lora", tasks="a", protocol="clean"))
    assert [row.scores for row in sheet.table.rows] == [{"a": {0: 1.0}}, {"a": {0: 3.0}}]
    assert sheet.table.tasks == {"a": "natural"}
    with pytest.raises(UserError, match=r"methods=loro: .*did you mean 'lora'.*hydra, lora"):
        choose(collection, Selection(methods="loro"))
    with pytest.raises(UserError, match="methods=hydra: no run with tasks=b has it; there are l"):
        choose(collection, Selection(methods="hydra", tasks="b"))
    with pytest.raises(UserError, match="no run has completed"):
        choose(Collection([], [], []), Selection())


def test_overrides_that_all_share_are_said_once(tmp_path: Path) -> None:
    runs = scores("lora", {"a": [1.0]}, settings={"train.epochs": 5})
    runs += scores("hydra", {"a": [2.0]}, settings={"train.epochs": 5, "optimizer.lr": 0.1})
    collection = put(tmp_path, *runs)
    usual = {"train.epochs": "recipe", "optimizer.lr": "recipe"}
    collection = replace(collection, defaults={Origin.of(run): usual for run in runs})
    sheet = choose(collection, Selection())
    labels = [sheet.label(row) for row in sheet.table.rows]
    assert labels == ["lora r=4", "hydra r=4+4 (optimizer.lr=0.1)"]
    assert [sheet.label(row, rank=False) for row in sheet.table.rows] == [
        "lora",
        "hydra (optimizer.lr=0.1)",
    ]
    assert sheet.caption([0]).endswith("seed 0; all with train.epochs=5.")


def test_the_plain_row_of_a_method_has_the_plain_mark(tmp_path: Path) -> None:
    runs = scores("lora", {"a": [1.0]})
    runs += scores("lora", {"a": [1.0, 2.0, 3.0]}, settings={"optimizer.lr": 0.1})
    usual = {"optimizer.lr": "recipe"}
    collection = put(tmp_path, *runs)
    collection = replace(collection, defaults={Origin.of(run): usual for run in runs})
    sheet = choose(collection, Selection())
    fills = {sheet.label(row): sheet.look(row)["fillstyle"] for row in sheet.table.rows}
    assert fills == {"lora r=4": "full", "lora r=4 (optimizer.lr=0.1)": "left"}


def test_labels_are_no_longer_than_a_legend_takes(tmp_path: Path) -> None:
    odd = {f"zz.k{number}": number for number in range(3000)}
    runs = [made_up("lora", "a", 0, 1.0), made_up("hydra", "a", 0, 2.0, settings=odd)]
    collection = put(tmp_path, *runs)
    usual = dict.fromkeys(odd, "recipe")
    collection = replace(collection, defaults={Origin.of(run): usual for run in runs})
    sheet = choose(collection, Selection())
    assert max(len(sheet.label(row)) for row in sheet.table.rows) == 400


def test_rows_are_called_as_in_tables_where_a_stray_has_other_settings(tmp_path: Path) -> None:
    runs = [
        run
        for method in ("lora", "hydra", "seqlora")
        for run in scores(method, {"a": [1.0], "b": [2.0]}, settings={"train.epochs": 5})
    ]
    runs += scores("lora", {"a": [3.0]}, settings={"train.epochs": 9})
    collection = put(tmp_path, *runs)
    usual = {Origin.of(run): {"train.epochs": "recipe"} for run in runs}
    sheet = choose(replace(collection, defaults=usual), Selection())
    (table,), _ = build_tables(collection.records, defaults=usual)
    (found,) = parts(table)
    labels = ["lora r=4", "lora r=4 (train.epochs=9)", "seqlora r=4", "hydra r=4+4"]
    assert sorted(sheet.label(row) for row in sheet.table.rows) == sorted(labels)
    assert sorted(found.labels) == sorted(labels)
    assert sheet.caption([0]).endswith("; all with train.epochs=5 unless a label says otherwise.")
    # Without the stray it is said of all, and rows are called as before.
    drawn = complete_part(sheet, asked=False)
    assert sorted(drawn.label(row) for row in drawn.table.rows) == sorted(labels[:1] + labels[2:])
    assert drawn.caption([0, 1]).endswith("; all with train.epochs=5.")
    assert drawn.left_out == ["Left out: lora r=4 (train.epochs=9) [no run on b]."]


@pytest.mark.parametrize("odd", [None, "x", -1, True, 2.5, [2], 10**400])
def test_ranks_that_are_none_are_not_drawn(odd: object) -> None:
    row = SimpleNamespace(method={"rank_parallel": odd, "rank_sequential": 3})
    assert ranks_of(cast(Row, row)) == (0, 3)
