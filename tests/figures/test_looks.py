"""One look a method: the same in every picture, apart for every eye."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up import put, scores
from matplotlib.lines import Line2D

from hydra_peft.figures import find_figure
from hydra_peft.figures._looks import BRANCHES, COLOURS, MARKERS, looks, of_one_look
from hydra_peft.methods import method_names

#: the rows of the paper's tables, and what else is known by name
ROWS = [
    *("full", "linear", "adapter", "adaptformer", "lora", "vpt_shallow", "vpt_deep", "noah"),
    *("ssf", "fact_tt", "fact_tk", "repadapter", "compacter", "kadaptation", "seqlora", "hydra"),
    *("adapter_plus", "adapterdrop", "bitfit", "dora", "ia3", "vera", "hydra_mlp", "hydra_msa"),
    *("branches", "zero-shot", "prototypes"),
]
#: Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB
SIMULATED = {
    "normal": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def linear(colour: str) -> Any:
    values = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lab(rgb: Any) -> Any:
    """CIE 1976 L*a*b* of linear sRGB, white D65."""
    to_xyz = np.array(
        [
            [0.4124564, 0.3575761, 0.1804375],
            [0.2126729, 0.7151522, 0.0721750],
            [0.0193339, 0.1191920, 0.9503041],
        ]
    )
    ratio = to_xyz @ np.clip(rgb, 0, 1) / (0.95047, 1.0, 1.08883)
    f = np.where(ratio > 216 / 24389, np.cbrt(ratio), (24389 / 27 * ratio + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("eyes", SIMULATED)
def test_colours_stay_apart_for_every_eye(eyes: str) -> None:
    seen = [lab(np.array(SIMULATED[eyes]) @ linear(colour)) for colour in COLOURS]
    assert min(np.linalg.norm(a - b) for a, b in combinations(seen, 2)) > 15
    # On white paper as well; the luminance of white is 1.
    luminances = [float(linear(colour) @ (0.2126, 0.7152, 0.0722)) for colour in COLOURS]
    assert min(1.05 / (luminance + 0.05) for luminance in luminances) > 2.2


@pytest.mark.parametrize("methods", [ROWS, method_names()])
def test_methods_of_one_colour_differ_in_marker_and_dash(methods: list[str]) -> None:
    styles = looks(methods)
    for one, other in combinations(styles, 2):
        if one["color"] == other["color"]:
            assert one["marker"] != other["marker"]
            assert one["linestyle"] != other["linestyle"]
    # Those that are most often drawn together differ in all three.
    few = looks(["hydra", "lora", "seqlora", "full", "linear"])
    for key in ("color", "marker", "linestyle"):
        assert len({str(style[key]) for style in few}) == 5


def test_a_look_does_not_depend_on_what_else_is_drawn() -> None:
    alone = {method: looks([method])[0] for method in (*ROWS, "mine", "somebody's")}
    together = dict(zip(alone, looks(list(alone)), strict=True))
    assert together == alone
    assert looks(list(alone)[::-1])[::-1] == list(alone.values())


def test_methods_of_other_packages_look_like_no_other() -> None:
    many = [f"method{number}" for number in range(40)]
    seen = {(style["color"], style["marker"]) for style in looks([*ROWS, *many])}
    assert len(seen) == len(ROWS) + 40


@pytest.mark.parametrize("method", [f"method{number}" for number in range(20)])
def test_a_method_of_another_package_has_a_dash_of_its_own(method: str) -> None:
    own, *others = looks([method, *ROWS])
    assert own["linestyle"] not in [o["linestyle"] for o in others if o["color"] == own["color"]]


def test_settings_of_one_method_keep_its_colour_and_marker() -> None:
    for method in ("hydra", "linear"):
        styles = looks([method] * 10)
        assert len({(style["color"], style["marker"]) for style in styles}) == 1
        marks = {(style["fillstyle"], style["markeredgecolor"]) for style in styles}
        assert len(marks) == 10
        assert "none" not in {fill for fill, _ in marks}  # hollow is the paper's
        # The edges, on both sides, leave most of a mark that is filled in part to its fill.
        halves = [style for style in styles if style["fillstyle"] != "full"]
        assert all(style["markeredgewidth"] < style["markersize"] / 6 for style in halves)


def mark(style: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(style[key] for key in ("color", "marker", "fillstyle", "markeredgecolor"))


@pytest.mark.parametrize("method", ["lora", "linear", "mine"])
def test_marks_of_many_rows_of_one_method_do_not_repeat(method: str) -> None:
    few = looks([method] * 3)
    styles = looks([*[method] * 26, "dora", *["dora"] * 14, *ROWS])
    assert styles[:3] == few
    assert {style["color"] for style in styles[:26]} == {few[0]["color"]}
    seen = [mark(style) for style in styles[:26]]
    assert len(set(seen)) == 26
    assert {shape for _, shape, *_ in seen[:10]} == {few[0]["marker"]}
    # Nor has any the mark of another method, of many rows or not.
    assert len(set(map(mark, styles))) == len(styles)
    assert of_one_look(styles) == []


def test_a_caption_says_that_marks_repeat() -> None:
    styles = looks(["lora"] * 112)  # in two fills and edges of eleven markers
    assert of_one_look(styles[:110]) == []
    assert of_one_look(styles) == [
        "There are more rows of one method than marks: 2 rows have the mark of another."
    ]


@pytest.mark.parametrize("name", ["curves", "pareto", "gain", "ranks"])
def test_figures_say_that_their_marks_repeat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("hydra_peft.figures._looks.MARKERS", ())
    runs = scores("hydra", {"a": [50.0]}) + scores("hydra", {"a": [50.0]}, rank=2)
    for at in range(11):
        runs += scores("lora", {"a": [60.0]}, settings={"optimizer.lr": at})
    figure = find_figure(name)
    settings = figure.settings(**({"baseline": "hydra r=4+4"} if name == "gain" else {}))
    data = figure.data(put(tmp_path, *runs), settings)
    said = "There are more rows of one method than marks: 1 row has the mark of another."
    assert said in data.caption


def test_a_branch_looks_like_the_method_that_has_it_alone() -> None:
    for branch, method in (("parallel", "lora"), ("sequential", "seqlora")):
        own = looks([method])[0]
        assert all(own[key] == value for key, value in BRANCHES[branch].items())


def legend_marks(picture: Any) -> dict[str, tuple[Any, ...]]:
    """Return colour, marker and fill of each row's name in the picture's legend."""
    (legend,) = picture.legends
    names = [text.get_text() for text in legend.get_texts()]
    lines = [line for line in legend.findobj(Line2D) if line.get_marker() in MARKERS]
    marks = [(line.get_color(), line.get_marker(), line.get_fillstyle()) for line in lines]
    return dict(zip([name for name in names if name != "Pareto front"], marks, strict=True))


def test_all_figures_draw_a_row_alike(tmp_path: Path) -> None:
    by_task = {"a": [80.0, 82.0], "b": [50.0, 53.0]}
    methods = ["hydra", "lora", "seqlora", "linear", "full", "mine"]
    runs = [run for method in methods for run in scores(method, by_task)]
    # Another setting of lora, with fewer runs.
    runs += scores("lora", {"a": [70.0], "b": [60.0]}, settings={"optimizer.lr": 0.5})
    collection = put(tmp_path, *runs)
    seen: dict[str, tuple[Any, ...]] = {}
    for name, settings in {"curves": {}, "pareto": {}, "gain": {"baseline": "seqlora"}}.items():
        figure = find_figure(name)
        data = figure.data(collection, figure.settings(**settings))
        marks = legend_marks(figure.draw(data))
        assert len(marks) == (6 if name == "gain" else 7)
        assert all(seen.setdefault(row, mark) == mark for row, mark in marks.items())
    for method in methods:
        own = looks([method])[0]
        rows = {row: mark for row, mark in seen.items() if row.split()[0] == method}
        assert {mark[:2] for mark in rows.values()} == {(own["color"], own["marker"])}
        fills = {row: mark[2] for row, mark in rows.items()}
        half = {"left" if "0.5" in row else "full" for row in rows}
        assert set(fills.values()) == half
