"""Figure 3 from a run's folder: numbers by the plain definition, and a picture for all runs."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fabricated_models import put_model
from safetensors.torch import load_file, save_file

from hydra_peft.backbones.backbones import build_backbone
from hydra_peft.errors import UserError
from hydra_peft.figures import FigureData, find_figure, render
from hydra_peft.figures._branches import place

Compose = Callable[..., Any]
FIGURE = find_figure("3")


def data(folder: Path) -> FigureData:
    return FIGURE.data([folder], FIGURE.settings())


def plain(folder: Path, layer: str, branch: str, i: int, j: int) -> float:
    """Eq. 14 from the files alone, with full SVDs."""
    saved = {
        name: t.double().numpy() for name, t in load_file(folder / "adapter.safetensors").items()
    }
    backbone, _ = build_backbone(
        "vit_mini", arguments={}, drop_path=0.0, checkpoint=None, pretrained=True, seed=0
    )
    weight = backbone.get_parameter(f"{layer}.weight").detach().double().numpy()
    part = f"{layer}.{'parallel' if branch == 'A' else 'sequential'}"
    update = saved[f"{part}.up.weight"] @ saved[f"{part}.down.weight"]
    update = update if branch == "A" else update @ weight
    u, v = np.linalg.svd(weight)[0][:, :i], np.linalg.svd(update)[0][:, :j]
    return float(np.linalg.norm(u.T @ v) ** 2 / min(i, j))


def test_numbers_and_summary(compose_train: Compose, tmp_path: Path) -> None:
    folder = put_model(compose_train, tmp_path / "run", "method=hydra")
    found = data(folder)
    # 5 blocks x 2 layers x 2 branches x 13 (10% of 128) x 2
    assert len(found.table) == 5 * 2 * 2 * 13 * 2
    for row in found.table.sample(12, random_state=0).itertuples():
        expected = plain(folder, row.layer, row.branch, row.i, row.j)
        assert row.similarity == pytest.approx(expected, abs=1e-9)
        assert (row.block, row.kind) == place(row.layer)
        assert row.chance == pytest.approx(max(row.i, row.j) / 128)
    summary = found.tables["summary"]
    assert len(summary) == 20
    assert set(summary["i"]) == {13}
    assert set(summary["j"]) == {2}
    mean = summary[summary["branch"] == "A"]["similarity"].mean()
    assert any(f"A and W0: mean {mean:.4f} over 10 layers" in note for note in found.notes)
    assert found.caption.startswith(
        "Measured: mini/digits; hydra r=2+2, auto; vit_mini (pretrained "
    )
    assert render(FIGURE.draw(found), "pdf").startswith(b"%PDF")


@pytest.mark.parametrize(
    ("overrides", "branches"),
    [
        (["method=lora", "method.rank=1", "method.targets=[blocks.2.mlp.fc2]"], ["A"]),
        (["method=seqlora", "method.targets=[blocks.1.mlp.fc2]"], ["B W0"]),
        (["method=hydra", "method.targets=[blocks.3.attn.qkv,blocks.3.mlp.fc1]"], ["A", "B W0"]),
    ],
)
def test_other_methods_and_layers(
    compose_train: Compose, tmp_path: Path, overrides: list[str], branches: list[str]
) -> None:
    found = data(put_model(compose_train, tmp_path / "run", *overrides))
    assert list(dict.fromkeys(found.table["branch"])) == branches
    first = found.table[found.table["j"] == 1]
    assert bool(first["similarity"].between(0, 1).all())
    rank_one = "method.rank=1" in overrides
    assert bool(found.table[found.table["j"] == 2]["similarity"].isna().all()) == rank_one
    assert any("has no 2 directions there" in note for note in found.notes) == rank_one
    assert render(FIGURE.draw(found), "png").startswith(b"\x89PNG")


def test_an_untrained_run_is_undefined_and_drawn(compose_train: Compose, tmp_path: Path) -> None:
    words = ("model.pretrained=false", "method.targets=[blocks.3.attn.proj,blocks.3.mlp.fc2]")
    found = data(put_model(compose_train, tmp_path / "run", *words, std=0))
    assert bool(found.table["similarity"].isna().all())
    assert "RANDOM WEIGHTS" in found.caption
    assert FIGURE.draw(found).get_suptitle() == "RANDOM WEIGHTS"
    assert sum("undefined in 2 layers" in note for note in found.notes) == 4
    assert render(FIGURE.draw(found), "png").startswith(b"\x89PNG")


def test_runs_without_branches_or_end_are_refused(compose_train: Compose, tmp_path: Path) -> None:
    linear = put_model(compose_train, tmp_path / "linear", "method=linear")
    with pytest.raises(UserError, match=r"no low-rank branches \(method linear\): choose one of"):
        data(linear)
    failed = put_model(compose_train, tmp_path / "failed", status="failed")
    with pytest.raises(UserError, match="is failed"):
        data(failed)
    other = put_model(
        compose_train, tmp_path / "other", weights={"kind": "pretrained", "sha256": "0" * 64}
    )
    with pytest.raises(UserError, match=r"backbone weights .* are not those of the run"):
        data(other)


def test_values_that_are_not_finite_are_refused(compose_train: Compose, tmp_path: Path) -> None:
    folder = put_model(compose_train, tmp_path / "run")
    path = folder / "adapter.safetensors"
    damaged = {name: tensor.fill_(float("inf")) for name, tensor in load_file(path).items()}
    save_file(damaged, path)
    with pytest.raises(UserError, match=r"blocks\.0\.attn\.proj.* not finite"):
        data(folder)


def test_text_fits_and_nothing_overlaps(compose_train: Compose, tmp_path: Path) -> None:
    made = FIGURE.draw(data(put_model(compose_train, tmp_path / "run", "method=hydra")))
    made.canvas.draw()
    boxes = []
    for part in made.subfigs:
        texts = [axes.title for axes in part.axes] + [axes.xaxis.label for axes in part.axes]
        texts += [part._supxlabel, part._supylabel, *(t for leg in part.legends for t in leg.texts)]
        boxes += [t.get_window_extent() for t in texts if t is not None and t.get_text()]
    for box in boxes:
        assert min(box.x0, box.y0) >= 0, box
        assert box.x1 <= made.bbox.x1, box
        assert box.y1 <= made.bbox.y1, box
    for index, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[index + 1 :])


def test_where_a_layer_is() -> None:
    assert place("blocks.5.attn.proj") == (6, "attn.proj")
    assert place("vision.blocks.0.mlp.fc2") == (1, "mlp.fc2")
    assert place("patch_embed.proj") == (0, "patch_embed.proj")


@pytest.mark.long
def test_vit_b_takes_less_than_30_seconds(
    root: Path, compose_train: Compose, tmp_path: Path
) -> None:
    """As a whole process, all 24 layers: processor time of one core, whatever else runs here."""
    words = ("model=vit_base_patch16_224_in21k", "model.pretrained=false")
    folder = put_model(compose_train, tmp_path / "run", *words)
    script = [sys.executable, root / "scripts" / "figures.py"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [*script, "figure=3", f"run={folder}", f"out={tmp_path}"],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    assert "over 24 layers" in done.stdout
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 30
