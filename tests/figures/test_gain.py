"""Gains over a baseline, paired by seed, by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_up import made_up, put, scores

from hydra_peft.errors import UserError
from hydra_peft.figures import find_figure
from hydra_peft.runs.collection import Collection

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
    assert "Without a whisker: one seed." in data.caption
    assert "interval" not in data.caption


def test_missing_runs_are_shown_as_missing(tmp_path: Path) -> None:
    lacking = {task: HYDRA[task] for task in ("a", "b")}
    collection = put(tmp_path, *scores("lora", LORA), *scores("hydra", lacking))
    found = lines(collection)
    seeds = {name: line["seeds"] for (_, name), line in found.items()}
    assert seeds == {"a": 2, "b": 2, "c": 0, "structured mean": 0, "mean over groups": 0}
    made = FIGURE.draw(FIGURE.data(collection, Settings()))
    labels = [text.get_text() for text in made.legends[0].get_texts()]
    assert labels == ["hydra r=4+4", "no seed in common"]
    (crosses,) = [line for line in made.axes[0].lines if line.get_marker() == "x"]
    assert len(crosses.get_ydata()) == 3
    assert [len(bars) for bars in made.axes[0].containers if hasattr(bars, "patches")] == [2]


def test_the_baseline_is_one_row(tmp_path: Path) -> None:
    runs = [*scores("lora", LORA, rank=2), *scores("lora", LORA), *scores("hydra", HYDRA)]
    collection = put(tmp_path, *runs)
    several = r"baseline=lora is several rows: name one of 'lora r=2', 'lora r=4'\."
    with pytest.raises(UserError, match=several):
        lines(collection)
    assert {method for method, _ in lines(collection, baseline="lora r=2")} == {
        "lora r=4",
        "hydra r=4+4",
    }
    with pytest.raises(UserError, match=r"baseline=hydro: .*did you mean 'hydra'"):
        lines(collection, baseline="hydro")
    alone = put(tmp_path / "x", *scores("lora", LORA))
    with pytest.raises(UserError, match="only lora r=4 has runs on mini, protocol clean"):
        lines(alone)
    without = put(tmp_path / "y", *scores("hydra", HYDRA))
    with pytest.raises(UserError, match=r"baseline=lora: no completed run is of it; there are"):
        lines(without)


def test_eight_bars_of_seven_colours_differ(tmp_path: Path) -> None:
    runs = scores("lora", {"a": [50.0]}, rank=1)
    runs += [r for k in range(1, 10) for r in scores("hydra", {"a": [50.0 + k]}, rank=k)]
    data = FIGURE.data(put(tmp_path, *runs), Settings())
    fillings = [tuple(sorted(look.items())) for look in data.facts["looks"]]
    assert len(set(fillings)) == 9
