"""Rank sweeps: what is one curve, and its numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from made_up import put, scores, with_tuned_ranks
from scored_records import scored

from hydra_peft.errors import UserError
from hydra_peft.figures import find_figure
from hydra_peft.figures._bands import BANDS
from hydra_peft.runs.collection import Collection

FIGURE = find_figure("ranks")
Settings = FIGURE.settings


def curves(collection: Collection, **settings: object) -> dict[str, list[int]]:
    table = FIGURE.data(collection, Settings(**settings)).table
    return {name: list(lines["rank"]) for name, lines in table.groupby("series")}


def test_a_curve_is_one_method_over_its_total_ranks(tmp_path: Path) -> None:
    runs = [
        run
        for rank in (1, 2, 8)
        for method in ("lora", "hydra")
        for run in scores(method, {"a": [50.0 + rank, 52.0 + rank, 60.0 + rank]}, rank=rank)
    ]
    collection = put(tmp_path, *runs, *scores("linear", {"a": [40.0, 42.0], "b": [1.0]}))
    data = FIGURE.data(collection, Settings())
    assert curves(collection) == {"hydra": [2, 4, 16], "lora": [1, 2, 8], "linear": [0]}
    line = data.table[(data.table["series"] == "hydra") & (data.table["rank"] == 4)].iloc[0]
    assert (line["mean"], line["low"], line["high"], line["seeds"]) == (56.0, 52.0, 62.0, 3)
    assert (line["rank_parallel"], line["rank_sequential"], line["parameters"]) == (2, 2, 400)
    assert "Left out: b [no method has runs at two ranks]." in data.caption
    assert "Horizontal: rows without a total rank of branches." in data.caption
    deviation = FIGURE.data(collection, Settings(band="sd")).table
    line = deviation[(deviation["series"] == "hydra") & (deviation["rank"] == 4)].iloc[0]
    assert line["high"] - line["mean"] == pytest.approx(28**0.5)  # (-4)^2 + (-2)^2 + 6^2 over 2
    with pytest.raises(UserError, match="band 'none' is unknown: choose one of range, sd"):
        FIGURE.data(collection, Settings(band="none"))


def test_another_setting_is_another_curve(tmp_path: Path) -> None:
    runs = [run for rank in (1, 2) for run in scores("lora", {"a": [50.0]}, rank=rank)]
    other = {"optimizer.lr": 0.5}
    runs += [
        run for rank in (1, 2) for run in scores("lora", {"a": [60.0]}, rank=rank, settings=other)
    ]
    found = curves(put(tmp_path, *runs))
    assert len(found) == 2
    assert all(ranks == [1, 2] for ranks in found.values())


def test_a_caption_is_of_the_tasks_with_two_ranks(tmp_path: Path) -> None:
    runs = [run for rank in (1, 2) for run in scores("lora", {"a": [50.0]}, rank=rank)]
    runs += [scored(record, "mse", 0.5) for record in scores("linear", {"b": [40.0, 41.0]})]
    caption = FIGURE.data(put(tmp_path, *runs), Settings()).caption
    assert "; seed 0. Scores: accuracy. " in caption
    assert "Left out: b " in caption


def test_without_two_ranks_there_is_no_curve(tmp_path: Path) -> None:
    collection = put(tmp_path, *scores("lora", {"a": [1.0]}), *scores("hydra", {"a": [2.0]}))
    with pytest.raises(UserError, match=r"no method has runs at two ranks, .*rank_sweep"):
        FIGURE.data(collection, Settings())
    # One rank on each of two tasks is no sweep either.
    runs = [*scores("lora", {"a": [1.0]}), *scores("lora", {"b": [1.0]}, rank=8)]
    with pytest.raises(UserError, match="no method has runs at two ranks"):
        FIGURE.data(put(tmp_path / "x", *runs), Settings())


def test_one_seed_has_no_band(tmp_path: Path) -> None:
    runs = [run for rank in (1, 2) for run in scores("lora", {"a": [50.0]}, rank=rank)]
    data = FIGURE.data(put(tmp_path, *runs), Settings())
    assert data.table["low"].isna().all()
    assert "One seed each." in data.caption
    (axes,) = FIGURE.draw(data).axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1", "2"]


def test_marks_at_one_place_stand_side_by_side(tmp_path: Path) -> None:
    runs = [
        run
        for rank in (1, 2)
        for method in ("lora", "seqlora")
        for run in scores(method, {"a": [50.0, 52.0 + rank]}, rank=rank)
    ]
    made = FIGURE.draw(FIGURE.data(put(tmp_path, *runs), Settings()))
    (axes,) = made.axes
    made.canvas.draw()
    marks = [artist for artist in axes.lines if len(artist.get_xdata()) == 1]
    places = [m.get_transform().transform((m.get_xdata()[0], m.get_ydata()[0])) for m in marks]
    assert len(places) == 4
    # A mark is four points wide; in pixels of the picture.
    least = 4 * made.dpi / 72
    for number, (x, y) in enumerate(places):
        assert all(abs(x - u) > least or abs(y - v) > least for u, v in places[:number])
    assert sorted(axes.get_xticks()) == [1, 2]
    assert axes.get_xlabel() == "total rank (log scale)"


def test_what_has_no_total_rank_has_its_whole_name_and_a_mark(tmp_path: Path) -> None:
    runs = [run for rank in (1, 2) for run in scores("lora", {"a": [50.0]}, rank=rank)]
    runs += scores("vera", {"a": [40.0]}, method_label="vera r=256")
    runs += scores("adapter", {"a": [45.0]}, method_label="adapter r=8")
    other = {"optimizer.lr": 0.5}
    runs += scores("adapter", {"a": [46.0]}, method_label="adapter r=8", settings=other)
    data = FIGURE.data(put(tmp_path, *runs), Settings())
    apart = {"adapter r=8 (optimizer.lr=null)", "adapter r=8 (optimizer.lr=0.5)"}
    assert set(data.table["series"]) == {"lora", "vera r=256", *apart}
    (axes,) = FIGURE.draw(data).axes
    flat = [line for line in axes.lines if list(line.get_xdata()) == [0, 1]]
    looks = {(line.get_color(), line.get_marker(), line.get_fillstyle()) for line in flat}
    assert len(flat) == len(looks) == 3
    assert {tuple(line.get_markevery()) for line in flat} == {(1,)}


def test_a_row_whose_ranks_were_tuned_by_task_has_its_whole_name(tmp_path: Path) -> None:
    runs = [run for rank in (1, 2) for run in scores("lora", {"a": [50.0]}, rank=rank)]
    for task, rank in {"a": 1, "b": 2}.items():
        runs += scores("hydra", {task: [40.0]}, rank=rank)
    data = FIGURE.data(with_tuned_ranks(put(tmp_path, *runs), "hydra"), Settings())
    table = data.table.set_index("series")
    assert table.loc["lora", "rank"].tolist() == [1, 2]
    # It is of no one size: what stands there is a mean of models that there are.
    sizes = table.loc["hydra r=1+1 or hydra r=2+2", ["rank", "parameters"]]
    assert sizes.isna().all()
    assert "Horizontal: rows of several sizes." in data.caption
    drawn = FIGURE.draw(data).axes[0].lines
    assert len([line for line in drawn if list(line.get_xdata()) == [0, 1]]) == 1


def test_bands_are_over_more_than_one_seed(tmp_path: Path) -> None:
    runs = [
        *scores("lora", {"a": [60.0, 61.0]}, rank=2),
        *scores("lora", {"a": [62.0, 64.0]}),
        *scores("lora", {"a": [62.0]}, rank=8),
    ]
    caption = FIGURE.data(put(tmp_path, *runs), Settings()).caption
    said = "bands: least to greatest seed (2 seeds). Where there is no band, one seed."
    assert said in caption


def reached(table: Any) -> list[tuple[float, float]]:
    """Return the ends of each spread of ``table``, in order."""
    several = table[table["seeds"] > 1]
    return sorted(zip(several["low"], several["high"], strict=True))


@pytest.mark.parametrize("band", ["range", "sd"])
def test_a_spread_beside_no_other_is_a_bar(tmp_path: Path, band: str) -> None:
    by_rank = {1: [50.0], 2: [52.0, 56.0], 4: [57.0], 8: [58.0, 59.0]}
    runs = [run for rank, own in by_rank.items() for run in scores("lora", {"a": own}, rank=rank)]
    runs += scores("seqlora", {"a": [51.0, 54.0, 57.0]}, rank=2)
    data = FIGURE.data(put(tmp_path, *runs), Settings(band=band))
    (axes,) = FIGURE.draw(data).axes
    paths = [path for bands in axes.collections for path in bands.get_paths()]
    assert not any(path.get_extents().width for path in paths)
    bars = [line for line in axes.lines if len(set(line.get_xdata())) == 1 != len(line.get_xdata())]
    assert sorted(tuple(bar.get_ydata()) for bar in bars) == reached(data.table)
    # Where two are at one place, neither hides the other.
    at_two = [bar.get_transform().transform((2, 0))[0] for bar in bars if bar.get_xdata()[0] == 2]
    assert len(set(at_two)) == 2
    low, high = axes.get_ylim()
    assert all(low < end < high for ends in reached(data.table) for end in ends)
    assert f"Lines: means; bars: {BANDS[band]} (2 to 3 seeds)." in data.caption
    assert "Where there is no bar, one seed." in data.caption


def test_horizontal_rows_have_bands_from_edge_to_edge(tmp_path: Path) -> None:
    runs = [run for rank in (1, 2) for run in scores("lora", {"a": [50.0, 51.0]}, rank=rank)]
    runs += scores("linear", {"a": [40.0, 42.0]}) + scores("full", {"a": [70.0]})
    data = FIGURE.data(put(tmp_path, *runs), Settings())
    (axes,) = FIGURE.draw(data).axes
    (flat,) = axes.patches
    assert [(flat.get_y(), flat.get_y() + flat.get_height())] == reached(
        data.table[data.table["rank"] == 0]
    )
    assert (flat.get_x(), flat.get_width()) == (0, 1)
    assert "means; bands: least to greatest seed (2 seeds). Where there is no band" in data.caption


def test_a_caption_says_that_equal_seeds_have_no_band(tmp_path: Path) -> None:
    runs = [*scores("lora", {"a": [60.0, 60.0]}, rank=2), *scores("lora", {"a": [62.0]})]
    caption = FIGURE.data(put(tmp_path, *runs), Settings()).caption
    assert "Where there is no bar, one seed, or seeds of equal scores." in caption
    alike = [run for rank in (2, 4) for run in scores("lora", {"a": [60.0, 60.0]}, rank=rank)]
    caption = FIGURE.data(put(tmp_path / "alike", *alike), Settings()).caption
    assert "(2 seeds). Where there is no band, seeds of equal scores." in caption


def test_only_where_a_mark_has_moved_does_a_caption_say_so(tmp_path: Path) -> None:
    runs = [run for rank in (1, 2) for run in scores("lora", {"a": [50.0 + rank]}, rank=rank)]
    assert "side by side" not in FIGURE.data(put(tmp_path, *runs), Settings()).caption
    runs += scores("seqlora", {"a": [51.0]}, rank=1)
    assert "side by side" in FIGURE.data(put(tmp_path, *runs), Settings()).caption
