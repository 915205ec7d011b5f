"""In pictures of all runs nothing covers anything else, whatever there is to draw."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_up import put, scores

from hydra_peft.figures import find_figure, save
from hydra_peft.figures._style import COLUMN, PAGE
from hydra_peft.runs.record import Record

FEW = {"a": [80.0, 82.0, 81.0], "b": [50.0, 54.0, 51.0]}
MANY = {f"{name}{n}": [50.0 + n, 55.0] for n in range(3) for name in ("long_name_", "b", "c")}


def runs(kind: str) -> list[Record]:
    if kind == "one run":
        return [*scores("lora", {"a": [50.0]}), *scores("lora", {"a": [51.0]}, rank=8)]
    by_task = FEW if kind == "few" else MANY
    made = [run for name in ("lora", "hydra", "seqlora") for run in scores(name, by_task)]
    made += [*scores("linear", by_task), *scores("hydra", by_task, rank=1)]
    if kind == "many":
        ranks = (2, 8, 16, 32)
        made += [run for rank in ranks for run in scores("hydra", by_task, rank=rank)]
    return made


@pytest.mark.parametrize("kind", ["one run", "few", "many"])
@pytest.mark.parametrize("name", ["pareto", "curves", "gain", "ranks"])
def test_nothing_overlaps(tmp_path: Path, name: str, kind: str) -> None:
    figure = find_figure(name)
    settings = {"baseline": "lora r=4"} if name == "gain" else {}
    collection = put(tmp_path / "runs", *runs(kind))
    data = figure.data(collection, figure.settings(**settings))
    made = figure.draw(data)
    made.canvas.draw()
    assert made.get_figwidth() in (COLUMN, PAGE)
    parts = [axes.get_tightbbox() for axes in made.axes if axes.get_visible()]
    parts += [made.legends[0].get_window_extent(), made._supxlabel.get_window_extent()]
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
    files = save(made, data, tmp_path / "out" / name)
    assert {file.suffix for file in files} == {".pdf", ".png", ".csv"}
