"""Figure 4 from run folders: which images, which features, which numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from fabricated_models import put_model
from matplotlib.text import Text
from text_runs import put_text_model

from hydra_peft.adaptation.carried import adapters
from hydra_peft.backbones.inputs import preparation
from hydra_peft.errors import UserError
from hydra_peft.figures import FigureData, find_figure, render
from hydra_peft.runs.rebuild import load_scored_split, rebuild
from hydra_peft.tables.labels import RANDOM

Compose = Callable[..., Any]
FIGURE = find_figure("4")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def data(*folders: Path, cache: Path, **settings: Any) -> FigureData:
    return FIGURE.data(folders, FIGURE.settings(cache=str(cache), images=16, **settings))


def biased_cka(x: torch.Tensor, y: torch.Tensor) -> float:
    x, y = (f.double() - f.double().mean(0) for f in (x, y))
    return float((y.T @ x).norm() ** 2 / ((x.T @ x).norm() * (y.T @ y).norm()))


def test_one_run(compose_train: Compose, tmp_path: Path, cache: Path) -> None:
    folder = put_model(compose_train, tmp_path / "run", cache=cache)
    found = data(folder, cache=cache)
    table = found.table
    assert list(dict.fromkeys(table["panel"])) == [f"t-SNE seed {seed}" for seed in (0, 1, 2)]
    assert len(table) == 3 * 3 * 16
    first = table[table["panel"] == "t-SNE seed 0"]
    second = table[table["panel"] == "t-SNE seed 1"]
    assert not np.allclose(first["x"], second["x"])  # another seed is another picture
    # Which images: evenly over the whole test split, with their own labels.
    run = rebuild(folder)
    split = load_scored_split(run, cache=cache)
    positions = [len(split) * k // 16 for k in range(16)]
    assert first["image"].tolist() == positions * 3
    assert first["label"].tolist() == split.targets[positions].tolist() * 3
    # Which features: [CLS] at the last block's mlp.fc2, recomputed from the layer's input.
    layer = dict(adapters(run.model))["blocks.4.mlp.fc2"]
    seen = {}
    layer.register_forward_hook(lambda _, inputs, __: seen.update(x=inputs[0][:, 0]))
    with torch.no_grad():
        prepare = preparation(run.model, "backbone", torch.device("cpu"))
        run.model.eval()(
            prepare(split.in_memory(torch.device("cpu")).take(torch.tensor(positions)))
        )
        f = layer.base(seen["x"])
        terms = {
            "pretrained": f,
            "parallel": layer.parallel(seen["x"]),
            "sequential": layer.sequential(f),
        }
    aligned = found.tables["alignment"]
    assert len(aligned) == 3
    for row in aligned.itertuples():
        expected = biased_cka(terms[row.first], terms[row.second])
        assert row.cka == pytest.approx(expected, abs=1e-5)
        assert row.layer == "blocks.4.mlp.fc2"
    assert "[CLS] in layer blocks.4.mlp.fc2, 16 evenly spaced test images" in found.caption
    assert "CKA of pretrained and parallel" in found.notes[0]
    assert render(FIGURE.draw(found), "png") == render(
        FIGURE.draw(data(folder, cache=cache)), "png"
    )


def test_several_runs_side_by_side(compose_train: Compose, tmp_path: Path, cache: Path) -> None:
    folders = [
        put_model(compose_train, tmp_path / str(seed), f"seed={seed}", cache=cache)
        for seed in (0, 1)
    ]
    found = data(*folders, cache=cache, layer="blocks.1.attn.proj")
    assert list(dict.fromkeys(found.table["panel"])) == ["seed 0", "seed 1"]
    assert found.tables["alignment"]["cka_debiased"].nunique() == 6
    made = FIGURE.draw(found)
    made.canvas.draw()
    words = [axes.get_xlabel() for axes in made.axes]
    assert all("pretrained, sequential" in word for word in words)
    boxes = [axes.xaxis.label.get_window_extent() for axes in made.axes]
    assert not boxes[0].overlaps(boxes[1])
    mixed = put_model(compose_train, tmp_path / "2", "method=lora", "seed=1", cache=cache)
    found = data(folders[0], mixed, mixed, cache=cache)
    assert list(dict.fromkeys(found.table["panel"])) == [
        "digits, hydra r=2+2, auto, seed 0 #1",
        "digits, lora r=4, auto, seed 1 #2",
        "digits, lora r=4, auto, seed 1 #3",
    ]
    assert "sequential" not in set(found.table[found.table["run"].str.contains("lora")]["branch"])
    assert render(FIGURE.draw(found), "pdf").startswith(b"%PDF")


def test_mistakes(compose_train: Compose, tmp_path: Path, cache: Path) -> None:
    folder = put_model(compose_train, tmp_path / "run", cache=cache)
    with pytest.raises(UserError, match=r"layer=blocks.4.mlp.fc1 is no adapted layer .*did you me"):
        data(folder, cache=cache, layer="blocks.4.mlp.fc1")
    with pytest.raises(UserError, match="images=3 is too few: give 8 or more"):
        FIGURE.data([folder], FIGURE.settings(cache=str(cache), images=3))
    with pytest.raises(UserError, match="up to 12 runs side by side, not 13"):
        data(*[folder] * 13, cache=cache)
    unknown = put_model(compose_train, tmp_path / "unknown")
    with pytest.raises(UserError, match=r"the test images .* are not those of the run"):
        data(unknown, cache=cache)


def test_runs_on_texts_are_refused_by_name(
    compose_train: Compose, tmp_path: Path, cache: Path
) -> None:
    folder = put_text_model(compose_train, tmp_path / "texts")
    said = r"the run in .*/texts reads texts \(mini_glue/entail\).* choose a run on images"
    with pytest.raises(UserError, match=said):
        data(folder, cache=cache)
    # Told before torch is loaded, too.
    with pytest.raises(UserError, match=said):
        FIGURE.check(folder, FIGURE.settings())


def points(run: str, panel: str) -> pd.DataFrame:
    branches = {"pretrained": 0.0, "parallel": 1.0, "sequential": 2.0}
    return pd.DataFrame(
        [{"panel": panel, "run": run, "branch": b, "x": x, "y": x} for b, x in branches.items()]
    )


def test_the_picture_has_no_caption_and_no_negative_zero() -> None:
    pairs = {"first": "parallel", "second": "sequential", "cka_debiased": -0.001, "cka": 0.1}
    aligned = pd.DataFrame([{"run": run, **pairs, "images": 8} for run in ("seed 0", "seed 1")])
    table = pd.concat([points(run, run) for run in ("seed 0", "seed 1")])
    made = FIGURE.draw(
        FigureData({"": table, "alignment": aligned}, "What was measured.", warnings=[RANDOM])
    )
    texts = [text.get_text() for text in made.findobj(Text)]
    assert "CKA (debiased)\nparallel, sequential: 0.00" in texts
    assert not any("-0.00" in text or "measured" in text for text in texts)
    # What must not be overlooked is in it.
    assert made.legends[0].get_title().get_text() == RANDOM
