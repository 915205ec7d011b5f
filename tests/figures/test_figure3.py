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
from text_runs import put_text_model

from hydra_peft.backbones.backbones import build_backbone
from hydra_peft.errors import UserError
from hydra_peft.figures import FigureData, find_figure, render

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
        assert row.layer == f"blocks.{row.block - 1}.{row.kind}"
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
    # A branch of rank 1 has no second direction that could be looked at.
    assert set(found.table["j"]) == ({1} if "method.rank=1" in overrides else {1, 2})
    assert not any("undefined" in note for note in found.notes)
    assert render(FIGURE.draw(found), "png").startswith(b"\x89PNG")


def test_branches_of_rank_one_fill_the_picture(compose_train: Compose, tmp_path: Path) -> None:
    words = ("method=hydra", "method.rank=1", "method.targets=[blocks.1.mlp.fc2,blocks.3.mlp.fc2]")
    found = data(put_model(compose_train, tmp_path / "run", *words))
    assert "the first of A and of B W0 (eq. 14)." in found.caption
    summary = found.tables["summary"]
    assert list(summary["j"]) == [1] * 4
    maps, lower = FIGURE.draw(found).subfigs
    shapes = {image.get_array().shape for axes in maps.axes for image in axes.images}
    assert (1, 13) in shapes
    assert not any(np.isnan(axes.images[0].get_array()).any() for axes in maps.axes if axes.images)
    drawn = {line.get_label(): list(line.get_ydata()) for line in lower.axes[0].lines}
    for label, branch in (("parallel, $A$", "A"), ("sequential, $BW_0$", "B W0")):
        assert drawn[label] == list(summary[summary["branch"] == branch]["similarity"])


def test_branches_of_two_ranks_are_compared_by_what_both_have(
    compose_train: Compose, tmp_path: Path
) -> None:
    words = ("method=hydra", "method.rank_parallel=1", "method.targets=[blocks.1.mlp.fc2]")
    found = data(put_model(compose_train, tmp_path / "run", *words))
    assert found.caption.endswith("Not every branch has rank 2: by block j = 1.")
    summary = found.tables["summary"]
    assert list(summary["j"]) == [1, 1]
    assert summary["similarity"].notna().all()
    assert sum("undefined in 1 layer: A has no 2 directions" in note for note in found.notes) == 1


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


SWIN = ("model=timm", "model.architecture=swin_tiny_patch4_window7_224", "model.pretrained=false")
STAGED = (*SWIN, "method.targets=[attn.proj,downsample.reduction]", "method.bias=false")
ALL = "method.targets=[query,key,value,output.dense,intermediate.dense]"


@pytest.mark.parametrize(
    ("put", "words"),
    [
        (put_model, ["method=hydra"]),
        (put_model, ["method.targets=[attn.qkv,attn.proj,mlp.fc1,mlp.fc2]"]),
        (put_model, STAGED),
        (put_text_model, []),
        (put_text_model, [ALL]),
    ],
)
def test_text_fits_and_nothing_overlaps(
    compose_train: Compose, tmp_path: Path, put: Callable[..., Path], words: list[str]
) -> None:
    made = FIGURE.draw(data(put(compose_train, tmp_path / "run", *words)))
    made.canvas.draw()
    boxes = []
    for part in made.subfigs:
        texts = [axes.title for axes in part.axes] + [axes.xaxis.label for axes in part.axes]
        texts += [part._supxlabel, part._supylabel, *(t for leg in part.legends for t in leg.texts)]
        texts += [axes.yaxis.label for axes in part.axes]
        boxes += [t.get_window_extent() for t in texts if t is not None and t.get_text()]
    for box in boxes:
        assert min(box.x0, box.y0) >= 0, box
        assert box.x1 <= made.bbox.x1, box
        assert box.y1 <= made.bbox.y1, box
    for index, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[index + 1 :])


def test_layers_of_a_text_encoder_are_blocks(compose_train: Compose, tmp_path: Path) -> None:
    found = data(put_text_model(compose_train, tmp_path / "run"))
    assert set(found.table["kind"]) == {"output.dense"}
    maps, lower = FIGURE.draw(found).subfigs
    assert [axes.get_ylabel() for axes in maps.axes[::2]][:2] == ["1", "2"]
    (axes,) = lower.axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1", "2"]


def test_what_is_in_no_block_has_a_row_of_its_own(compose_train: Compose, tmp_path: Path) -> None:
    found = data(put_model(compose_train, tmp_path / "run", *STAGED))
    # The blocks of all four stages are counted through.
    assert sorted(set(found.table["block"])) == list(range(13))
    maps, lower = FIGURE.draw(found).subfigs
    assert maps.axes[0].get_ylabel() == "-"
    assert [tick.get_text() for tick in lower.axes[1].get_xticklabels()] == ["-"]


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
