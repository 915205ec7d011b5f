"""Gains over a baseline, paired by seed, by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from made_up import made_up, put, scores
from scored_records import scored

from hydra_peft.errors import UserError
from hydra_peft.figures import FigureData, find_figure
from hydra_peft.runs.collection import Collection
from hydra_peft.runs.record import Record
from hydra_peft.runs.selection import select
from hydra_peft.tables.overrides import Origin

FIGURE = find_figure("gain")
Settings = FIGURE.settings
LORA = {"a": [80.0, 82.0], "b": [50.0, 54.0], "c": [70.0, 70.0]}
HYDRA = {"a": [81.0, 85.0], "b": [52.0, 52.0], "c": [71.0, 75.0]}


def lines(collection: Collection, **settings: object) -> dict[tuple[str, str], dict[str, float]]:
    table = FIGURE.data(collection, Settings(**settings)).table
    return {(line["method"], line["name"]): dict(line) for _, line in table.iterrows()}


def test_differences_of_the_same_seed_by_hand(tmp_path: Path) -> None:
    found = lines(put(tmp_path, *scores("lora", LORA), *scores("hydra", HYDRA)))
    gains = {name: line["gain"] for (_, name), line in found.items()}
    assert gains == {
        "a": 2.0,  # 1, 3
        "b": 0.0,  # 2, -2
        "c": 3.0,  # 1, 5
        "structured mean": 1.5,  # 1.5, 1.5
        "mean over groups": 1.75,  # 1.25, 2.25
    }
    structured = found["hydra r=4+4", "structured mean"]
    assert (structured["std"], structured["low"], structured["high"]) == (0.0, 1.5, 1.5)
    task = found["hydra r=4+4", "a"]
    # the deviation of 1 and 3 is the root of two; Student's t with one degree of freedom 12.7062
    assert task["high"] - task["gain"] == pytest.approx(12.7062, rel=1e-5)
    assert task["seeds"] == 2
    assert task["baseline"] == "lora r=4"


def test_seeds_that_only_one_has_do_not_count(tmp_path: Path) -> None:
    runs = [
        *scores("lora", {"a": [80.0, 82.0, 99.0]}),
        made_up("hydra", "a", 1, 83.0),
        made_up("hydra", "a", 7, 10.0),
    ]
    data = FIGURE.data(put(tmp_path, *runs), Settings())
    (line,) = [dict(line) for _, line in data.table.iterrows()]
    assert (line["gain"], line["seeds"]) == (1.0, 1)
    assert "Without a bar: one seed." in data.caption
    assert "interval" not in data.caption


def test_a_caption_names_the_seeds_that_gains_are_of(tmp_path: Path) -> None:
    runs = [
        *scores("lora", {"a": [80.0], "b": [50.0]}),
        *scores("hydra", {"a": [81.0, 85.0], "b": [52.0]}),
        *[made_up("full", task, 7, 10.0) for task in "ab"],
    ]
    data = FIGURE.data(put(tmp_path, *runs), Settings())
    assert set(data.table["method"]) == {"hydra r=4+4"}
    assert set(data.table["seeds"]) == {1}
    assert "; seed 0. Gain over " in data.caption
    assert "Left out: full [no seed in common]" in data.caption


def test_missing_runs_are_shown_as_missing(tmp_path: Path) -> None:
    lacking = {task: HYDRA[task] for task in ("a", "b")}
    runs = [*scores("lora", LORA), *scores("hydra", lacking), *scores("seqlora", HYDRA)]
    data = FIGURE.data(put(tmp_path, *runs), Settings())
    found = {(line["method"], line["name"]): line for _, line in data.table.iterrows()}
    # Two rows have all tasks: means are over all, and what has not has no mean.
    wanted = {
        "hydra r=4+4": {"a": 2, "b": 2, "c": 0, "structured mean": 0, "mean over groups": 0},
        "seqlora r=4": {"a": 2, "b": 2, "c": 2, "structured mean": 2, "mean over groups": 2},
    }
    for row, seeds in wanted.items():
        assert {n: line["seeds"] for (method, n), line in found.items() if method == row} == seeds
    made = FIGURE.draw(data)
    labels = [text.get_text() for text in made.legends[0].get_texts()]
    assert labels == ["seqlora r=4", "hydra r=4+4", "no run"]
    (crosses,) = [line for line in made.axes[0].lines if line.get_marker() == "x"]
    assert len(crosses.get_ydata()) == 3
    assert data.caption.endswith("Grey, right of the axes: no gain (no run).")
    made.canvas.draw()
    (axes,) = made.axes
    across = crosses.get_transform().transform(crosses.get_xydata())[:, 0]
    assert (across > axes.bbox.x1).all()
    assert (across < made.bbox.x1 - 2).all()


def split(tmp_path: Path) -> FigureData:
    """Return gains over LoRA, which has task a on seeds 0 to 2 and b on seeds 1 to 3."""
    runs = [
        *[made_up("lora", "a", seed, 80.0) for seed in (0, 1, 2)],
        *[made_up("lora", "b", seed, 50.0) for seed in (1, 2, 3)],
        *[made_up("hydra", task, 0, 81.0) for task in "ab"],
        *[made_up("seqlora", "a", seed, 81.0) for seed in (0, 3)],
        *[made_up("seqlora", "b", seed, 81.0) for seed in (0, 3)],
        *[made_up("full", "a", seed, gain) for seed, gain in enumerate((60.0, 83.0, 83.0))],
        *[made_up("full", "b", seed, gain) for seed, gain in enumerate((40.0, 50.0, 50.0))],
    ]
    return FIGURE.data(put(tmp_path, *runs), Settings())


def test_what_has_the_runs_with_other_seeds_is_drawn_where_it_can_be(tmp_path: Path) -> None:
    data = split(tmp_path)
    found = {m: dict(zip(t["name"], t["missing"], strict=True)) for m, t in by_method(data)}
    assert found == {
        "hydra r=4+4": {
            "a": "",
            "b": "no seed in common",
            "mean over groups": "no seed on all tasks",
        },
        "seqlora r=4": {"a": "", "b": "", "mean over groups": "no seed on all tasks"},
        "full": {"a": "", "b": "", "mean over groups": ""},
    }
    assert "Left out" not in data.caption
    assert "no gain (no seed in common, no seed on all tasks)." in data.caption
    marks = [line.get_marker() for line in FIGURE.draw(data).axes[0].lines]
    assert {"+", "1"} <= set(marks)
    assert "x" not in marks


def test_a_mean_over_fewer_seeds_than_its_tasks_is_named(tmp_path: Path) -> None:
    data = split(tmp_path)
    full = dict(by_method(data))["full"].set_index("name")
    # Of seeds 0 to 2 task a, of seeds 1 and 2 both.
    assert dict(full["gain"]) == {"a": pytest.approx(-14 / 3), "b": 0.0, "mean over groups": 1.5}
    said = (
        "They are over the seeds that have all of their tasks, which marks of single tasks have "
        "more of: full."
    )
    assert said in data.caption
    even = put(tmp_path / "even", *scores("lora", LORA), *scores("hydra", HYDRA))
    assert "have more of" not in FIGURE.data(even, Settings()).caption


def by_method(data: FigureData) -> list[tuple[str, pd.DataFrame]]:
    return [(str(method), lines) for method, lines in data.table.groupby("method")]


@pytest.mark.parametrize("comma", [", ", ","])
def test_the_baseline_is_a_row_by_its_label_whatever_that_holds(tmp_path: Path, comma: str) -> None:
    changed = {"optimizer.betas": [0.9, 0.99], "train.epochs": 5}
    runs = [*scores("lora", LORA, settings=changed), *scores("hydra", HYDRA), *scores("lora", LORA)]
    collection = replace(put(tmp_path, *runs), defaults={Origin.of(run): {} for run in runs})
    label = "lora r=4 (optimizer.betas=[0.9,0.99], train.epochs=5)"
    data = FIGURE.data(collection, Settings(baseline=label.replace(", ", comma)))
    assert set(data.table["baseline"]) == {label}


def test_means_are_over_the_tasks_that_rows_share(tmp_path: Path) -> None:
    """No two rows have all three, so means are over the largest block."""
    runs = [*scores("lora", LORA), *scores("hydra", {t: HYDRA[t] for t in "ab"})]
    runs += scores("seqlora", {t: HYDRA[t] for t in "ac"}) + scores("full", {"a": HYDRA["a"]})
    runs += scores("linear", {t: HYDRA[t] for t in "ab"})
    data = FIGURE.data(put(tmp_path, *runs), Settings())
    assert set(data.table["name"]) == {"a", "b", "mean over groups"}
    mean = data.table[data.table["name"] == "mean over groups"].set_index("method")["gain"]
    assert dict(mean) == {"hydra r=4+4": 1.0, "linear": 1.0}  # (2 + 0) / 2
    left_out = "Left out: c [no run of linear, hydra r=4+4]; full, seqlora r=4 [no run on b]."
    assert left_out in data.caption


def test_a_mean_says_of_how_many_of_the_tasks_drawn_it_is(tmp_path: Path) -> None:
    """No method has all four, and most have each."""
    four = {"a": [60.0, 61.0], "b": [60.0, 62.0], "d": [50.0, 54.0], "e": [70.0, 71.0]}
    runs = scores("lora", four)
    block = {"hydra": "abe", "seqlora": "abe", "linear": "abd", "full": "bde", "bitfit": "ade"}
    for method, tasks in block.items():
        runs += scores(method, {task: four[task] for task in tasks})
    data = FIGURE.data(put(tmp_path, *runs), Settings())
    means = set(data.table[data.table["is_mean"]]["name"])
    assert means == {"natural mean (2 of 3)", "mean over groups (3 of 4)"}
    assert data.caption.count("Mean over groups: the mean of the groups' means.") == 1
    assert "Means are over a, e, b." in data.caption


def test_a_caption_says_why_there_is_no_mean(tmp_path: Path) -> None:
    split = [made_up("lora", "a", 0, 80.0), made_up("lora", "c", 1, 70.0)]
    data = FIGURE.data(put(tmp_path, *split, *scores("hydra", HYDRA)), Settings())
    assert set(data.table["name"]) == {"a", "c"}
    assert "No means: the rows have no seed in common on more than one of these" in data.caption
    alone = FIGURE.data(put(tmp_path / "one", split[0], *scores("hydra", HYDRA)), Settings())
    assert "No means" not in alone.caption


def test_the_baseline_is_one_row(tmp_path: Path) -> None:
    runs = [*scores("lora", LORA, rank=2), *scores("lora", LORA), *scores("hydra", HYDRA)]
    collection = put(tmp_path, *runs)
    assert {method for method, _ in lines(collection)} == {"lora r=4", "hydra r=4+4"}
    caption = FIGURE.data(collection, Settings()).caption
    assert "Gain over lora r=2 of the same seed." in caption
    assert caption.endswith("Other rows that baseline=lora may mean: lora r=4.")
    assert lines(collection, baseline="[lora r=4]") == lines(collection, baseline="lora r=4")
    assert {method for method, _ in lines(collection, baseline="lora r=4")} == {
        "lora r=2",
        "hydra r=4+4",
    }
    with pytest.raises(UserError, match=r"baseline=hydro: .*did you mean 'hydra'"):
        lines(collection, baseline="hydro")
    alone = put(tmp_path / "x", *scores("lora", LORA))
    with pytest.raises(
        UserError, match="no other row has a task and a seed in common with lora r=4 on mini"
    ):
        lines(alone)
    without = put(tmp_path / "y", *scores("hydra", HYDRA))
    with pytest.raises(
        UserError, match=r"no baseline= is given: no completed run is of it; there are"
    ):
        lines(without)
    left_out = (
        r"no baseline= is given: methods=hydra leaves the runs of 'lora' out; what is left is hydra"
    )
    with pytest.raises(UserError, match=left_out):
        lines(collection, methods="hydra")
    for quoted in ("'lora r=4'", '"lora r=4"'):
        gone = r"baseline=lora r=4: methods=hydra leaves the runs of 'lora r=4' out; what is left"
        with pytest.raises(UserError, match=gone):
            lines(collection, methods="hydra", baseline=quoted)
    other = made_up("ssf", "a", 0, 50.0, model="vit_other")
    apart = put(tmp_path / "z", *scores("lora", LORA), other)
    there = (
        r"baseline=ssf: its completed runs are in another picture \(sheet=2\); in this one are lora"
    )
    with pytest.raises(UserError, match=there):
        lines(apart, baseline="ssf")
    # Also where a report chose the runs before.
    with pytest.raises(UserError, match=left_out):
        lines(select(collection, {"methods": "hydra"}))


@pytest.mark.parametrize(("tasks", "baseline"), [("ab", "lora r=4"), ("a", "lora r=4 (train.ep")])
def test_the_baseline_has_no_settings_of_its_own_if_it_has_half_as_many_runs(
    tmp_path: Path, tasks: str, baseline: str
) -> None:
    few = {task: LORA[task] for task in tasks}
    many = scores("lora", LORA, settings={"train.epochs": 5})
    others = [*scores("hydra", HYDRA), *scores("linear", HYDRA)]
    data = FIGURE.data(put(tmp_path, *many, *scores("lora", few), *others), Settings())
    assert f"Gain over {baseline}" in data.caption


@pytest.mark.parametrize(
    ("settings", "label"),
    [
        ({"precision": "bf16"}, "lora r=4, bf16"),
        ({"protocol.tune": True}, "lora r=4 (tuned)"),
        ({"protocol.tune": True, "protocol.search": "optuna"}, "lora r=4 (tuned by optuna)"),
    ],
)
def test_the_baseline_is_the_row_whose_label_says_the_least(
    tmp_path: Path, settings: dict[str, Any], label: str
) -> None:
    """Though another has more runs, and its label no more settings by their values."""
    more = scores("lora", LORA, settings=settings)
    plain = scores("lora", {task: LORA[task] for task in "ab"})
    others = [run for method in ("hydra", "linear", "full") for run in scores(method, HYDRA)]
    runs = [*more, *plain, *others]
    collection = replace(put(tmp_path, *runs), defaults={Origin.of(run): {} for run in runs})
    data = FIGURE.data(collection, Settings())
    assert set(data.table["method"]) == {label, "hydra r=4+4", "linear", "full"}
    assert "Gain over lora r=4 of the same seed." in data.caption


@pytest.mark.parametrize(
    ("stray", "left_out"),
    [
        (scores("hydra", {"d": [9.0]}), "d [no run of lora r=4]"),
        (scores("full", {"a": [9.0]}), "full [no run on b, c]"),
        (scores("lora", {"a": [9.0]}, settings={"train.epochs": 5}), "=5) [no run on b, c]"),
        (scores("full", {"d": [9.0]}), "d [no run of lora r=4, hydra r=4+4]; full [no run on a, b"),
    ],
    ids=["task", "row", "epochs", "both"],
)
def test_a_stray_run_beside_a_sweep_is_left_out_and_named(
    tmp_path: Path, stray: list[Record], left_out: str
) -> None:
    sweep = [*scores("lora", LORA), *scores("hydra", HYDRA)]
    data = FIGURE.data(put(tmp_path, *sweep, *stray), Settings())
    gains = dict(zip(data.table["name"], data.table["gain"], strict=True))
    assert gains == {"a": 2.0, "b": 0.0, "c": 3.0, "structured mean": 1.5, "mean over groups": 1.75}
    assert left_out in data.caption
    assert FIGURE.draw(data).legends


def test_names_stand_beside_the_axes_and_means_are_what_they_are_called(tmp_path: Path) -> None:
    collection = put(tmp_path, *scores("lora", LORA), *scores("hydra", HYDRA))
    data = FIGURE.data(collection, Settings())
    assert "Mean over groups: the mean of the groups' means." in data.caption
    made = FIGURE.draw(data)
    made.canvas.draw()
    (axes,) = made.axes
    assert not axes.texts
    names = {tick.get_text(): tick for tick in axes.get_yticklabels()}
    assert list(names)[-2:] == ["natural", "structured"]
    assert all(tick.get_window_extent().x1 < axes.bbox.x0 for tick in names.values())
    assert names["structured"].get_fontstyle() == "italic"
    bold = {name for name, tick in names.items() if tick.get_fontweight() == "bold"}
    assert bold == {"structured mean", "mean over groups"}
    # One group has one mean: there is nothing else to average.
    one = FIGURE.data(collection, Settings(tasks="b,c"))
    assert list(one.table["name"]) == ["b", "c", "structured mean"]
    assert "Mean over groups" not in one.caption


def test_a_lower_error_is_a_gain(tmp_path: Path) -> None:
    lora, hydra = ({"a": [0.4, 0.5]}, {"a": [0.1, 0.3]})
    errors = [
        scored(record, "mse", float(record.score or 0))
        for record in (*scores("lora", lora), *scores("hydra", hydra))
    ]
    collection = put(tmp_path, *errors)
    (line,) = lines(collection).values()
    assert line["gain"] == pytest.approx(0.25)  # 0.3, 0.2
    assert line["metric"] == "mean squared error"
    data = FIGURE.data(collection, Settings())
    assert "Of mean squared error lower is better: a gain is by how much." in data.caption
    label = FIGURE.draw(data).axes[0].get_xlabel()
    assert "gain in mean squared error over lora" in label.replace("\n", " ")


def test_intervals_of_gains_stay_where_gains_can_be(tmp_path: Path) -> None:
    found = lines(
        put(tmp_path, *scores("lora", {"a": [1.0, 60.0]}), *scores("hydra", {"a": [99.0, 61.0]}))
    )
    (line,) = found.values()
    assert (line["low"], line["high"]) == (-100.0, 100.0)
    pearson = [
        scored(record, "pearson", float(record.score or 0) - 50)
        for record in (*scores("lora", {"b": [1.0, 1.0]}), *scores("hydra", {"b": [99.0, 61.0]}))
    ]
    (line,) = lines(put(tmp_path / "other", *pearson)).values()
    assert (line["low"], line["high"]) == (pytest.approx(79 - 12.7062 * 19, rel=1e-4), 200.0)


def test_means_are_shaded_in_their_order(tmp_path: Path) -> None:
    # In the order of a set of texts the bytes of a file would differ from one process to the next.
    tasks = {f"{group}{number}": group for group in "pqrstu" for number in range(2)}
    records = [
        made_up(method, task, 0, 50.0, group=group)
        for method in ("lora", "hydra")
        for task, group in tasks.items()
    ]
    (axes,) = FIGURE.draw(FIGURE.data(put(tmp_path, *records), Settings())).axes
    places = [
        patch.get_path().get_extents(patch.get_patch_transform()).y0 for patch in axes.patches
    ]
    assert len(places) == 7
    assert places == sorted(places)


def test_intervals_are_over_more_than_one_seed(tmp_path: Path) -> None:
    runs = [*scores("lora", {"a": [60.0, 61.0]}), *scores("hydra", {"a": [62.0, 64.0]})]
    runs += scores("seqlora", {"a": [62.0]})
    caption = FIGURE.data(put(tmp_path, *runs), Settings(baseline="lora r=4")).caption
    assert "bars: 95% t intervals over 2 seeds. Without a bar: one seed." in caption
    alike = [*scores("lora", {"a": [60.0, 61.0]}), *scores("hydra", {"a": [62.0, 63.0]})]
    caption = FIGURE.data(put(tmp_path / "alike", *alike), Settings()).caption
    assert "over 2 seeds. Without a bar: seeds of equal gains." in caption
