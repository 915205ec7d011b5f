"""One graph from pixels to logits, computed by onnxruntime and by torch alone."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import hydra_peft
from hydra_peft.cli import export
from hydra_peft.errors import UserError
from hydra_peft.export.graph import FromPixels, compared
from hydra_peft.export.source import load_source

NARROW = [
    "model=timm",
    "model.architecture=vit_tiny_patch16_224",
    "model.pretrained=false",
    "model.arguments={img_size: 32, embed_dim: 24, depth: 1, num_heads: 2}",
]


def pixels(count: int) -> torch.Tensor:
    draw = torch.Generator().manual_seed(count)
    return torch.randint(0, 256, (count, 3, 32, 32), generator=draw, dtype=torch.uint8)


def expected(folder: Path, images: torch.Tensor) -> torch.Tensor:
    """What the run's own model says of images that are prepared by its own transform."""
    run = hydra_peft.load_run(folder, device="cpu")
    arrays = images.permute(0, 2, 3, 1).numpy()
    with torch.no_grad():
        return run.model(torch.stack([run.transform(array) for array in arrays]))


def test_onnxruntime_computes_the_run(
    make_run: Callable[..., Path],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("onnxscript", reason="not installed: pip install 'hydra-peft[onnx]'")
    runtime = pytest.importorskip("onnxruntime", reason="pip install 'hydra-peft[onnx]'")
    onnx = pytest.importorskip("onnx", reason="pip install 'hydra-peft[onnx]'")
    cache = tmp_path / "cache"
    folder = make_run(*NARROW, "method=hydra", "data.crop=true", cache=cache)
    with caplog.at_level(logging.WARNING, "hydra_peft"):
        written = hydra_peft.export_run(folder, "onnx", tmp_path / "out", cache=cache)
    assert caplog.messages == []
    assert capsys.readouterr() == ("", "")
    names = sorted(path.name for path in written.iterdir())
    assert names == ["README.md", "model.onnx", "preprocessing.json"]
    session = runtime.InferenceSession(str(written / "model.onnx"))
    for count in (1, 3):
        (logits,) = session.run(None, {"images": pixels(count).numpy()})
        np.testing.assert_allclose(logits, expected(folder, pixels(count)), atol=1e-5, rtol=1e-4)
    graph = onnx.load(str(written / "model.onnx"))
    about = json.loads((written / "preprocessing.json").read_text())
    assert about["opset"] == 18
    assert [one.version for one in graph.opset_import if one.domain == ""] == [18]
    assert json.loads(graph.metadata_props[0].value) == about
    assert about["input"]["shape"] == ["batch", 3, 32, 32]
    assert about["input"]["resizing"].startswith("the middle 32 x 32")
    assert len(about["classes"]) == 10
    card = (written / "README.md").read_text()
    assert "4 random images and 32 of test: outputs differ by at most" in card
    assert "predictions are the same for 32." in card


def test_torch_alone_computes_the_run_and_unmergeable_adapters_go_too(
    make_run: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = make_run(*NARROW, "method=adapter")
    with caplog.at_level(logging.WARNING, "hydra_peft"):
        written = hydra_peft.export_run(folder, "torch", tmp_path / "out", cache=tmp_path / "c")
    assert caplog.messages[0].startswith("the export was compared on random images alone: those")
    extra = {"preprocessing.json": ""}
    model = torch.export.load(written / "model.pt2", extra_files=extra).module()
    for count in (1, 3):
        found = model(pixels(count)).detach()
        torch.testing.assert_close(found, expected(folder, pixels(count)), atol=1e-5, rtol=1e-4)
    about = json.loads((written / "preprocessing.json").read_text())
    assert json.loads(extra["preprocessing.json"]) == about
    assert about["classes"][0] == "class a"
    assert "on 4 random images." in (written / "README.md").read_text()


def test_a_wrong_graph_is_found_out(make_run: Callable[..., Path]) -> None:
    source = load_source(make_run(*NARROW, "method=lora"))
    right = FromPixels(source.run.model, source.mean, source.std).eval()
    said = compared(source, pixels(5), lambda images: right(images).detach(), "It")
    assert said.startswith("It was compared with the run's model on 4 random images and 5 of test")
    assert said.endswith("predictions are the same for 5.")
    wrong = FromPixels(source.run.model, (0.4, 0.5, 0.5), source.std).eval()
    with pytest.raises(UserError, match=r"It gives other outputs than the run's model \(by up to"):
        compared(source, None, lambda images: wrong(images).detach(), "It")


def test_the_extra_is_asked_for_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    monkeypatch.setattr(sys, "argv", ["export.py", f"run={tmp_path}", "to=onnx"])
    assert export.main() == 2
    assert "pip install 'hydra-peft[onnx]'" in capsys.readouterr().err
