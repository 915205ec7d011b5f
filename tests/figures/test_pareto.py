"""Accuracy against parameters: numbers by hand, the front by its definition."""

from __future__ import annotations

import dataclasses
import random
import sys
import warnings
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest
from made_up import made_up, put, scores, with_tuned_ranks
from scored_records import scored

from hydra_peft.errors import UserError
from hydra_peft.figures import find_figure
from hydra_peft.figures._looks import MARKERS
from hydra_peft.figures._points import STEP, shifts, side_by_side
from hydra_peft.runs.collection import Collection, FoundRun, collect
from hydra_peft.runs.record import Record
from hydra_peft.tables.published import read_published
from hydra_peft.tables.rows import summarize

sys.path.append(str(Path(__file__).parent.parent / "tables"))
from vtab1k_records import VTAB1K, vtab_record

FIGURE = find_figure("pareto")
Settings = FIGURE.settings
#: means over groups by seed: (80 + (50 + 70) / 2) / 2 = 70, then 72
LORA = {"a": [80.0, 82.0], "b": [50.0, 54.0], "c": [70.0, 70.0]}


def lines(collection: Collection, **settings: object) -> dict[str, dict[str, object]]:
    table = FIGURE.data(collection, Settings(**settings)).table
    return {line["label"]: dict(line) for _, line in table.iterrows()}


def test_numbers_by_hand(tmp_path: Path) -> None:
    collection = put(tmp_path, *scores("lora", LORA))
    line = lines(collection)["lora r=4"]
    assert (line["score"], line["seeds"]) == (71.0, 2)
    assert line["std"] == pytest.approx(2**0.5)
    # The intervals of tables.
    assert (line["low"], line["high"]) == summarize([70.0, 72.0]).interval
    assert (line["parameters_without_head"], line["parameters_with_mean_head"]) == (400, 420)
    line = lines(collection, mean="tasks", bars="sd")["lora r=4"]
    assert line["score"] == pytest.approx((200 / 3 + 206 / 3) / 2)
    assert line["score"] - line["low"] == pytest.approx(line["std"])
    for setting in ({"mean": "median"}, {"bars": "none"}):
        with pytest.raises(UserError, match="is not known: it must be one of"):
            lines(collection, **setting)


def test_what_trains_nothing_has_no_parameters(tmp_path: Path) -> None:
    settings = {"train.epochs": 0, "head.name": "text_prompts"}
    bare = scores("linear", {"a": [50.0]}, settings=settings)
    collection = put(tmp_path, *bare, *scores("lora", {"a": [60.0]}))
    data = FIGURE.data(collection, Settings())
    sizes = dict(zip(data.table["label"], data.table["parameters_with_mean_head"], strict=True))
    assert sizes == {"zero-shot": 0, "lora r=4": 410}
    assert data.caption.endswith("Dotted: nothing trained.")
    FIGURE.draw(data)
    with pytest.raises(UserError, match="none of these methods trains anything"):
        FIGURE.data(put(tmp_path / "bare", *bare), Settings())


def test_a_method_without_a_task_is_left_out_and_named(tmp_path: Path) -> None:
    collection = put(tmp_path, *scores("lora", LORA), *scores("hydra", {"a": [99.0]}))
    data = FIGURE.data(collection, Settings())
    # Of two rows it is the tasks that only one has: one point alone compares nothing.
    assert list(data.table["label"]) == ["lora r=4", "hydra r=4+4"]
    assert "Left out: b, c [no run of hydra r=4+4]." in data.caption
    alone = FIGURE.data(collection, Settings(tasks="a,b"))
    assert list(alone.table["label"]) == ["lora r=4"]
    assert "Left out: hydra r=4+4 [no run on b]." in alone.caption
    assert set(lines(collection, tasks="a")) == {"lora r=4", "hydra r=4+4"}
    apart = put(tmp_path / "x", *scores("lora", {"a": [1.0]}), *scores("hydra", {"b": [1.0]}))
    with pytest.raises(
        UserError, match="no method has runs of one seed on all of a, b: give tasks="
    ):
        FIGURE.data(apart, Settings(tasks="a,b"))


@pytest.mark.parametrize(
    ("stray", "left_out"),
    [
        (scores("hydra", {"c": [9.0]}), "c [no run of lora r=4, seqlora r=4]"),
        (scores("lora", {"a": [9.0]}, rank=8), "lora r=8 [no run on b]"),
        # Another number of epochs is another row.
        (scores("lora", {"b": [9.0]}, settings={"train.epochs": 5}), "=5) [no run on a]"),
        (
            [made_up("full", "a", 0, 9.0), made_up("full", "b", 1, 9.0)],
            "full [no seed on all of these tasks]",
        ),
    ],
    ids=["task", "rank", "epochs", "seeds"],
)
def test_a_stray_run_beside_a_sweep_is_left_out_and_named(
    tmp_path: Path, stray: list[Record], left_out: str
) -> None:
    by_task = {"a": [80.0, 82.0], "b": [50.0, 54.0]}
    sweep = [run for name in ("lora", "hydra", "seqlora") for run in scores(name, by_task)]
    data = FIGURE.data(put(tmp_path, *sweep, *stray), Settings())
    assert list(data.table["score"]) == [66.5] * 3  # (65 + 68) / 2
    assert list(data.table["seeds"]) == [2] * 3
    assert "Mean over groups of a, b. Left out: " in data.caption
    assert f"{left_out}." in data.caption
    assert FIGURE.draw(data).legends


def test_a_caption_names_the_seeds_of_the_means(tmp_path: Path) -> None:
    runs = [
        *scores("lora", {"a": [80.0, 82.0, 84.0], "b": [50.0, 54.0]}),
        *scores("hydra", {"a": [80.0], "b": [50.0]}),
        made_up("hydra", "b", 7, 60.0),
    ]
    data = FIGURE.data(put(tmp_path, *runs), Settings())
    assert dict(zip(data.table["method"], data.table["seeds"], strict=True)) == {
        "lora": 2,
        "hydra": 1,
    }
    assert "; seeds 0, 1. Scores: " in data.caption


def test_points_at_one_place_stand_side_by_side(tmp_path: Path) -> None:
    same = [run for name in ("lora", "seqlora", "hydra") for run in scores(name, LORA, rank=2)]
    same = [dataclasses.replace(run, parameters={"adapter": 900, "head": 10}) for run in same]
    data = FIGURE.data(put(tmp_path, *same), Settings(bars="sd"))
    assert "would hide each other stand side by side, at most two marks' widths" in data.caption
    assert list(data.table["parameters_with_mean_head"]) == [910.0] * 3
    made = FIGURE.draw(data)
    made.canvas.draw()
    marks = [line for line in made.axes[0].lines if line.get_marker() in MARKERS]
    x = sorted(m.get_transform().transform((m.get_xdata()[0], m.get_ydata()[0]))[0] for m in marks)
    assert len(x) == 3
    assert min(b - a for a, b in pairwise(x)) > 4 * made.dpi / 72  # a mark has four points
    # In the middle of them is where they are.
    assert x[1] == pytest.approx(made.axes[0].transData.transform((910, 71))[0])
    collection = put(tmp_path / "x", *scores("lora", LORA), *scores("full", LORA))
    assert "side by side" not in FIGURE.data(collection, Settings()).caption


def test_beside_a_front_points_of_one_place_stand_right_of_where_it_rises() -> None:
    lines = pd.DataFrame(
        {
            "x": [100.0, 900.0, 900.0, 900.0],
            "score": [94.0, 95.0, 96.0, 95.5],
            "low": [93.0, 94.0, 95.0, 94.5],
            "high": [95.0, 96.0, 97.0, 96.5],
            "on_front": [True, False, True, False],
        }
    )
    moves = shifts(lines, logarithmic=True)
    assert moves[0] == moves[2] == 0.0
    assert sorted([moves[1], moves[3]]) == [STEP, 2 * STEP]
    # Where a neighbour would be hidden they stay around their place.
    beside = shifts(lines.assign(x=[100.0, 17_970.0, 17_970.0, 17_990.0]), logarithmic=True)
    assert sorted(beside.values()) == pytest.approx([-STEP, 0.0, 0.0, STEP], abs=0.05)
    alone = shifts(lines.assign(on_front=[False, False, True, False]), logarithmic=True)
    assert sorted(alone.values()) == [-STEP, 0.0, 0.0, STEP]  # around their place


def test_beside_a_front_only_marks_that_touch_move() -> None:
    points = {"x": [100.0, 900.0, 900.0, 900.0], "score": [50.0, 60.0, 89.5, 90.0]}
    lines = pd.DataFrame({**points, "on_front": [True, False, False, True]})
    lines = lines.assign(low=float("nan"), high=float("nan"))
    assert shifts(lines, logarithmic=True) == {0: 0.0, 1: 0.0, 2: STEP, 3: 0.0}


def test_marks_of_one_place_are_turned_though_a_mark_below_them_has_a_near_neighbour() -> None:
    # Below what the front rises from they stay around their place, above it they are right of it.
    points = {
        "x": [100.0, 900.0, 900.0, 905.0, 900.0, 900.0, 900.0, 900.0],
        "score": [60.0, 90.0, 89.5, 75.0, 75.0, 52.0, 51.5, 68.0],
        "on_front": [True, True, *[False] * 6],
    }
    lines = pd.DataFrame(points).assign(low=float("nan"), high=float("nan"))
    moves = shifts(lines, logarithmic=True)
    assert (moves[1], moves[2]) == (0.0, STEP)
    assert sorted([moves[5], moves[6]]) == [-STEP / 2, STEP / 2]
    above = shifts(lines.assign(score=[50.0, *lines["score"][1:]]), logarithmic=True)
    assert sorted([above[5], above[6]]) == [0.0, STEP]
    assert moves[7] == above[7] == 0.0


@pytest.mark.parametrize("rows", [4, 7, 30])
@pytest.mark.parametrize("apart", [0, 1])
def test_no_mark_stands_far_from_its_place(rows: int, apart: int) -> None:
    """Also where a bar reaches over all others, and where places are near to each other."""
    score = [90.0 + at % 4 for at in range(rows)]
    places = [900.0 + apart * at for at in range(rows)]
    lines = pd.DataFrame({"x": [100.0, *places], "score": [80.0, *score], "low": 70.0})
    lines = lines.assign(high=99.0, on_front=lines["score"].isin([80.0, 93.0]))
    moves = shifts(lines, logarithmic=True)
    assert max(map(abs, moves.values())) <= 2 * STEP + 1e-9
    assert len(set(moves.values())) >= rows
    if not apart:
        # That of the front stands where it rises, as nearly as the columns allow.
        assert abs(moves[4]) <= STEP / 2


def test_marks_of_like_scores_at_one_place_are_apart() -> None:
    low = [0.1 * number for number in range(30)]
    right = side_by_side([7.0] * 30, low, [y + 5.0 for y in low])
    assert min(right) == pytest.approx(-2 * STEP)
    assert max(right) == pytest.approx(2 * STEP)
    assert min(abs(a - b) for a, b in pairwise(right)) > 0.9 * STEP


def test_a_fine_line_leads_from_a_moved_mark_to_its_place(tmp_path: Path) -> None:
    same = [run for at in range(7) for run in scores("lora", LORA, settings={"optimizer.lr": at})]
    made = FIGURE.draw(FIGURE.data(put(tmp_path, *same), Settings(bars="sd")))
    made.canvas.draw()
    axes = made.axes[0]
    leads = [line for line in axes.lines if line.get_marker() == "|"]
    ends = [line.get_transform().transform(line.get_xydata()) for line in leads]
    marks = [line for line in axes.lines if line.get_marker() in MARKERS]
    spots = [mark.get_transform().transform(mark.get_xydata())[0] for mark in marks]
    assert len(spots) == 7
    assert len(leads) == 6  # that in the middle stands at its place
    place = axes.transData.transform(marks[0].get_xydata())[0]
    for start, end in ends:
        assert start == pytest.approx(place)
        assert any(end == pytest.approx(spot) for spot in spots)


@pytest.mark.parametrize(("sizes", "panels"), [((900, 900, 900), 1), ((900, 905, 910), 2)])
def test_a_second_panel_shows_apart_what_a_scale_can(
    tmp_path: Path, sizes: tuple[int, ...], panels: int
) -> None:
    names = ("lora", "seqlora", "hydra", "full")
    runs = [
        dataclasses.replace(run, parameters={"adapter": size, "head": 10})
        for name, size in zip(names, (*sizes, 9 * 10**7), strict=True)
        for run in scores(name, LORA)
    ]
    assert len(FIGURE.draw(FIGURE.data(put(tmp_path, *runs), Settings())).axes) == panels


def test_many_points_at_one_place_stand_in_as_few_columns_as_it_takes() -> None:
    # As of a sweep of learning rates: each touches the next one above it alone.
    low = [4.0 * number for number in range(40)]
    right = side_by_side([7.0] * 40, low, [y + 5.0 for y in low], step=6.0)
    assert right == [-3.0, 3.0] * 20
    assert side_by_side([7.0] * 3, [0.0] * 3, [1.0] * 3, step=6.0) == [-6.0, 0.0, 6.0]


def test_letters_that_no_font_has_are_boxes_without_a_warning(tmp_path: Path) -> None:
    odd = dataclasses.replace(made_up("lora", "a", 0, 80.0), task="\U0001fbfb")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert FIGURE.draw(FIGURE.data(put(tmp_path, odd), Settings())).axes


def test_scales_and_their_ends(tmp_path: Path) -> None:
    data = FIGURE.data(put(tmp_path, *scores("lora", LORA), *scores("hydra", LORA)), Settings())
    (axes,) = FIGURE.draw(data).axes
    assert axes.get_xlabel() == "trainable parameters with mean head (log scale)"
    low, high = axes.get_xlim()
    assert low < 420 < 820 < high
    assert high / low < 4
    bottom, top = axes.get_ylim()
    assert bottom < data.table["low"].min() < data.table["high"].max() < top


def test_the_front_is_what_nothing_beats(tmp_path: Path) -> None:
    draw = random.Random(3)
    runs = [
        run
        for rank in range(1, 13)
        for method in ("lora", "seqlora")
        for run in scores(method, {"a": [draw.uniform(50, 90)]}, rank=rank)
    ]
    table = FIGURE.data(put(tmp_path, *runs), Settings()).table
    points = list(zip(table["parameters_with_mean_head"], table["score"], strict=True))
    expected = [
        not any(x <= own_x and y >= own_y and (x, y) != (own_x, own_y) for x, y in points)
        for own_x, own_y in points
    ]
    assert list(table["on_front"]) == expected
    assert 1 < sum(expected) < 24


def test_without_the_head_linear_probing_is_a_line(tmp_path: Path) -> None:
    collection = put(tmp_path, *scores("lora", LORA), *scores("linear", LORA))
    data = FIGURE.data(collection, Settings(head=False))
    assert "Dotted: no parameters but the head's." in data.caption
    (axes,) = FIGURE.draw(data).axes
    (flat,) = [line for line in axes.lines if line.get_linestyle() == ":"]
    assert list(flat.get_ydata()) == [71.0, 71.0]
    assert axes.get_xscale() == "log"
    alone = put(tmp_path / "x", *scores("linear", LORA))
    with pytest.raises(UserError, match="give head=true"):
        FIGURE.data(alone, Settings(head=False))


def test_names_of_many_methods_take_the_width_of_a_page(tmp_path: Path) -> None:
    collection = put(tmp_path, *scores("lora", LORA))
    data = FIGURE.data(collection, Settings())
    line = data.table.iloc[0]
    names = [f"method {number} with a name" for number in range(24)]
    many = [
        {**line, "label": name, "series": name, "parameters_with_mean_head": 1000 * (at + 1)}
        for at, name in enumerate(names)
    ]
    assert data.facts is not None
    facts = data.facts | {"looks": dict.fromkeys(names, next(iter(data.facts["looks"].values())))}
    drawn = FIGURE.draw(dataclasses.replace(data, tables={"": pd.DataFrame(many)}, facts=facts))
    drawn.draw_without_rendering()
    assert drawn.get_figwidth() > 2 * FIGURE.draw(data).get_figwidth() - 1
    box = drawn.legends[0].get_window_extent()
    assert box.height < 0.4 * drawn.bbox.height
    assert drawn.bbox.x0 <= box.x0 < box.x1 <= drawn.bbox.x1


def vtab(**changes: object) -> Collection:
    runs = [
        vtab_record(row, task, 50.0, seed, **changes)
        for row in ("LoRA", "Hydra")
        for task in VTAB1K.tasks
        for seed in (0, 1)
    ]
    return Collection([FoundRun(Path("x"), run) for run in runs], [], [])


def test_the_papers_points_are_hollow_and_as_printed(root: Path) -> None:
    data = FIGURE.data(vtab(), Settings())
    paper = data.table[data.table["source"] == "paper"].set_index("label")
    published = read_published(root / "results/paper/table8_vtab1k_head_to_head.csv")
    for row in published.rows:
        line = paper.loc[f"{row.label} (paper)"]
        assert line["score"] == pytest.approx(row.numbers["avg_acc"].value, abs=0.06)
        assert line["parameters_with_mean_head"] == row.numbers["params_m"].value * 1e6
        assert not line["on_front"]
    assert paper.loc["Full tuning (paper)", "score"] == pytest.approx(68.97, abs=0.01)
    assert len(paper) == 5
    made = FIGURE.draw(data)
    hollow = [line for line in made.axes[0].lines if line.get_fillstyle() == "none"]
    assert len(hollow) == 5
    labels = [text.get_text() for text in made.legends[0].get_texts()]
    assert [label for label in labels if "(paper)" in label] == list(paper.index)


@pytest.mark.parametrize(
    "changes",
    [
        {"weights": {"kind": "random", "sha256": "0" * 64}},
        {"model": "vit_mini"},
        {"data": {"sha256": "x", "partial": True}},
        {"benchmark": "mini"},
    ],
)
def test_the_paper_stands_beside_its_like_only(changes: dict[str, object]) -> None:
    assert set(FIGURE.data(vtab(**changes), Settings()).table["source"]) == {"measured"}
    assert set(FIGURE.data(vtab(), Settings(head=False)).table["source"]) == {"measured"}


def test_on_some_tasks_the_papers_mean_is_over_these() -> None:
    data = FIGURE.data(vtab(), Settings(tasks="cifar100,svhn,eurosat"))
    line = data.table[data.table["label"] == "Hydra (paper)"].iloc[0]
    assert line["score"] == pytest.approx(((72.7 + 90.7) / 2 + 96.0) / 2)


def test_ranks_of_one_method_look_alike(tmp_path: Path) -> None:
    runs = [run for rank in (1, 2, 4) for run in scores("lora", {"a": [50.0 + rank]}, rank=rank)]
    made = FIGURE.draw(FIGURE.data(put(tmp_path, *runs), Settings()))
    labels = [text.get_text() for text in made.legends[0].get_texts()]
    assert labels == ["lora, 3 ranks", "Pareto front"]


def test_a_front_in_one_place_is_no_line(tmp_path: Path) -> None:
    runs = [run for method in ("lora", "seqlora") for run in scores(method, {"a": [50.0]}, rank=2)]
    data = FIGURE.data(put(tmp_path, *runs), Settings())
    assert data.table["on_front"].sum() == 2
    assert "Pareto front" not in [t.get_text() for t in FIGURE.draw(data).legends[0].get_texts()]
    assert "Front of the measured means, no line: lora r=2, seqlora r=2." in data.caption
    better = scores("linear", {"a": [60.0]})
    (only,) = [FIGURE.data(put(tmp_path / "x", *runs, *better), Settings()).caption]
    assert "Front of the measured means, no line: linear." in only


def test_the_front_of_an_error_is_below(tmp_path: Path) -> None:
    errors = {("lora", 2): 0.5, ("lora", 4): 0.2, ("hydra", 4): 0.3}
    records = [
        scored(made_up(method, "a", 0, 50.0, rank=rank), "mse", value)
        for (method, rank), value in errors.items()
    ]
    data = FIGURE.data(put(tmp_path, *records), Settings())
    assert sorted(data.table[data.table["on_front"]]["score"]) == [0.2, 0.5]
    assert data.facts["y"] == "mean squared error on a (lower is better)"


def test_bars_are_over_the_seeds_of_those_that_have_some(tmp_path: Path) -> None:
    runs = [*scores("lora", {"a": [80.0, 82.0]}), *scores("hydra", {"a": [81.0]})]
    caption = FIGURE.data(put(tmp_path, *runs), Settings()).caption
    assert "Mean over a. Bars: 95% intervals over 2 seeds. Without a bar: one seed." in caption
    runs += scores("seqlora", {"a": [80.0, 80.0]})
    data = FIGURE.data(put(tmp_path, *runs), Settings(bars="sd"))
    assert "Without a bar: one seed, or seeds of equal scores." in data.caption
    means = FIGURE.data(put(tmp_path / "b", *scores("lora", {"a": [8.0], "b": [9.0]})), Settings())
    assert "Mean over groups of a, b." in means.caption
    plain = FIGURE.data(collect(tmp_path / "b"), Settings(mean="tasks"))
    assert "Mean over a, b." in plain.caption


def test_a_caption_names_rows_of_several_sizes(tmp_path: Path) -> None:
    runs = scores("lora", {"a": [80.0], "b": [50.0]})
    for task, rank in {"a": 1, "b": 2}.items():
        runs += scores("hydra", {task: [40.0]}, rank=rank)
    data = FIGURE.data(with_tuned_ranks(put(tmp_path, *runs), "hydra"), Settings(head=False))
    said = "Of several sizes, at the mean of their runs' parameters: hydra r=1+1 or hydra r=2+2."
    assert said in data.caption
    plain = put(tmp_path / "plain", *scores("lora", {"a": [80.0]}))
    assert "several sizes" not in FIGURE.data(plain, Settings()).caption
