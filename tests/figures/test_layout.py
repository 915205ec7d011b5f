"""In pictures of all runs nothing covers anything else, whatever there is to draw."""

from __future__ import annotations

from pathlib import Path

import pytest
from covering import pairs
from made_up import put, scores
from matplotlib.text import Text

from hydra_peft.figures import find_figure, save
from hydra_peft.figures._style import COLUMN, PAGE, in_lines, text_width
from hydra_peft.runs.record import Record

FIGURES = ["pareto", "curves", "gain", "ranks"]
FEW = {"a": [80.0, 82.0, 81.0], "b": [50.0, 54.0, 51.0]}
MANY = {f"{name}{n}": [50.0 + n, 55.0] for n in range(2) for name in ("long_name_", "b", "c")}
LONG = {"a_name_of_a_task_with_some_sixty_letters_in_it_and_then_more": [50.0, 51.0], "b": [9.0, 8]}


def runs(kind: str) -> list[Record]:
    if kind == "one run":
        return [*scores("lora", {"a": [50.0]}), *scores("lora", {"a": [51.0]}, rank=8)]
    by_task = {"few": FEW, "many": MANY, "long": LONG}[kind]
    made = [run for name in ("lora", "hydra", "seqlora") for run in scores(name, by_task)]
    made += [*scores("linear", by_task), *scores("hydra", by_task, rank=1)]
    if kind == "long":
        # Nobody says what is usual here, so that labels name all in which rows differ.
        far = {f"optimizer.option{n}": "x" * 20 for n in range(6)}
        made += scores("hydra", by_task, settings=far) + scores("lora", by_task, rank=8)
    if kind == "many":
        ranks = (2, 8)
        made += [run for rank in ranks for run in scores("hydra", by_task, rank=rank)]
    return made


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *pairs(FIGURES, ["long", "many"]),
        *(
            pytest.param(name, kind, marks=pytest.mark.long)
            for name in FIGURES
            for kind in ("one run", "few")
        ),
    ],
)
def test_nothing_overlaps(tmp_path: Path, name: str, kind: str) -> None:
    figure = find_figure(name)
    settings = {"baseline": "lora r=4"} if name == "gain" else {}
    collection = put(tmp_path / "runs", *runs(kind))
    data = figure.data(collection, figure.settings(**settings))
    made = figure.draw(data)
    made.canvas.draw()
    assert made.get_figwidth() in (COLUMN, PAGE)
    parts = [axes.get_tightbbox() for axes in made.axes if axes.get_visible()]
    parts.append(made.legends[0].get_window_extent())
    for number, part in enumerate(parts):
        assert part.x0 > -1
        assert part.y0 > -1
        assert part.x1 < made.bbox.x1 + 1
        assert part.y1 < made.bbox.y1 + 1
        for other in parts[:number]:
            # A pixel in a hundred of an inch may be shared by the frames of letters.
            assert min(part.x1, other.x1) - max(part.x0, other.x0) < 2 or (
                min(part.y1, other.y1) - max(part.y0, other.y0) < 2
            )


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.long] * (n in ("gain", "ranks"))) for n in FIGURES]
)
def test_names_are_no_formulas(tmp_path: Path, name: str) -> None:
    hostile = {"a$b^^$c": [50.0, 51.0], "$1 and $2": [60.0, 61.0]}
    made = [run for rank in (4, 8) for run in scores("hydra", hostile, rank=rank)]
    made += scores("lora", hostile) + scores("mine $x^_$", hostile)
    figure = find_figure(name)
    data = figure.data(put(tmp_path / "runs", *made), figure.settings())
    picture = figure.draw(data)
    files = save(picture, data, tmp_path / "out" / name)  # what cannot be typeset raises here
    assert {file.suffix for file in files} == {".pdf", ".png", ".txt", ".csv"}
    texts = [text for text in picture.findobj(Text) if "$" in text.get_text()]
    assert texts
    assert not any(text.get_parse_math() for text in texts)


def test_every_column_of_curves_has_its_epochs(tmp_path: Path) -> None:
    tasks = {f"t{n}": [50.0] for n in range(6)}  # four in the first row, two below
    figure = find_figure("curves")
    data = figure.data(put(tmp_path / "runs", *scores("lora", tasks)), figure.settings())
    picture = figure.draw(data)
    picture.canvas.draw()
    shown = [axes for axes in picture.axes if axes.get_visible()]
    for column in {axes.get_subplotspec().colspan.start for axes in shown}:
        own = [axes for axes in shown if axes.get_subplotspec().colspan.start == column]
        lowest = max(own, key=lambda axes: axes.get_subplotspec().rowspan.start)
        ticks = lowest.xaxis.get_major_ticks()
        assert any(tick.label1.get_visible() and tick.label1.get_text() for tick in ticks)


def test_a_long_baseline_stands_below_the_gains(tmp_path: Path) -> None:
    far = {f"optimizer.option{n}": "x" * 20 for n in range(4)}
    made = [*scores("hydra", FEW), *scores("lora", FEW), *scores("lora", FEW, settings=far)]
    named = ", ".join(f"{key}={value}" for key, value in far.items())
    figure = find_figure("gain")
    settings = figure.settings(baseline=f"lora r=4 ({named})")
    picture = figure.draw(figure.data(put(tmp_path / "runs", *made), settings))
    picture.canvas.draw()
    label = picture.axes[0].xaxis.label
    assert named.replace(" ", "") in "".join(label.get_text().split())
    assert label.get_window_extent().x0 > -1
    assert label.get_window_extent().x1 < picture.bbox.x1 + 1


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", [""]),
        ("lora r=4 and hydra", ["lora r=4", "and hydra"]),
        ("hydra (method.targets=[attn.proj,mlp.fc1])", ["hydra", "(method.", "targets=", "[attn."]),
        ("x" * 25, ["x" * 10, "x" * 10, "x" * 5]),
        ("a " + "x" * 12 + ",b", ["a", "x" * 10, "xx,b"]),
    ],
)
def test_words_are_broken_at_their_punctuation(text: str, lines: list[str]) -> None:
    found = in_lines(text, 10.5 * text_width("x")).split("\n")
    assert found[: len(lines)] == lines
    assert max(map(len, found)) <= 10
    assert "".join(found).replace(" ", "") == text.replace(" ", "")
