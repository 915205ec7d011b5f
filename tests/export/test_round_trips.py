"""Trained here, exported, loaded by stock timm, peft and onnxruntime: the same logits each time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from few_images import SIZES, shorten
from torch import Tensor, nn

import hydra_peft
from hydra_peft.adaptation.storage import TENSORS
from hydra_peft.config.check import check_config
from hydra_peft.runs.on_device import on_device
from hydra_peft.runs.run import run
from hydra_peft.tensor_files import read_tensors

SHAPE: dict[str, Any] = {"img_size": 32, "embed_dim": 24, "depth": 1, "num_heads": 2}
NARROW = [
    "model=timm",
    "model.architecture=vit_tiny_patch16_224",
    "model.pretrained=false",
    "model.arguments={img_size: 32, embed_dim: 24, depth: 1, num_heads: 2}",
]
LORA = ["method=lora", "method.scale=2.5"]
PLAIN_LORA = [*LORA, "method.bias=false"]
SEQLORA = ["method=seqlora", "method.scale=0.5"]
PLAIN_SEQLORA = [*SEQLORA, "method.bias=false"]
HYDRA = ["method=hydra", "method.scale=-0.25"]
PLAIN_HYDRA = [*HYDRA, "method.bias=false", "method.rank_sequential=3"]
#: every layer with every method, with branch biases and without
CASES = [
    (words, target)
    for words in (LORA, PLAIN_LORA, SEQLORA, PLAIN_SEQLORA, HYDRA, PLAIN_HYDRA)
    for target in ("attn.qkv", "attn.proj", "mlp.fc2")
]


def of_run(folder: Path, x: Tensor) -> Tensor:
    with torch.no_grad():
        found: Tensor = hydra_peft.load_run(folder, device="cpu").model(x)
    return found


def of_timm(written: Path, x: Tensor) -> Tensor:
    weights = str(written / "model.safetensors")
    model = timm.create_model(
        "vit_tiny_patch16_224", num_classes=10, checkpoint_path=weights, **SHAPE
    )
    with torch.no_grad():
        found: Tensor = model.eval()(x)
    return found


@pytest.mark.parametrize(("words", "target"), CASES[:: len(CASES) // 6 + 1])
def test_merged_weights_in_stock_timm(
    make_run: Callable[..., Path], tmp_path: Path, words: list[str], target: str
) -> None:
    folder, x = make_run(*NARROW, *words, f"method.targets=[{target}]"), torch.randn(3, 3, 32, 32)
    written = hydra_peft.export_run(folder, "timm", tmp_path / "out")
    torch.testing.assert_close(of_timm(written, x), of_run(folder, x), atol=1e-5, rtol=1e-5)


@pytest.mark.long
@pytest.mark.parametrize(("words", "target"), CASES)
def test_every_form_in_its_own_library(
    make_run: Callable[..., Path], tmp_path: Path, words: list[str], target: str
) -> None:
    peft = pytest.importorskip("peft", reason="pip install 'hydra-peft[peft]'")
    folder, x = make_run(*NARROW, *words, f"method.targets=[{target}]"), torch.randn(3, 3, 32, 32)
    expected = of_run(folder, x)
    written = hydra_peft.export_run(folder, "timm", tmp_path / "timm")
    torch.testing.assert_close(of_timm(written, x), expected, atol=1e-5, rtol=1e-5)

    adapter = hydra_peft.export_run(folder, "peft", tmp_path / "peft")
    state = backbone_of(folder)
    loaded = peft.PeftModel.from_pretrained(stock(state), str(adapter)).eval()
    torch.testing.assert_close(loaded(x), expected, atol=1e-5, rtol=1e-5)
    back = stock(state)
    hydra_peft.load_peft(back, adapter)
    torch.testing.assert_close(back(x), expected, atol=1e-5, rtol=1e-5)

    own = hydra_peft.export_run(folder, "adapter", tmp_path / "adapter")
    ours = stock(state)
    hydra_peft.load_adapter(ours, own)
    torch.testing.assert_close(ours(x), expected, atol=1e-5, rtol=1e-5)
    hydra_peft.merge(ours)
    torch.testing.assert_close(ours(x), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.long  # to trace a graph takes seconds
@pytest.mark.parametrize(
    ("words", "target"),
    [(LORA, "attn.qkv"), (PLAIN_SEQLORA, "attn.proj"), (SEQLORA, "mlp.fc2"), (HYDRA, "attn.qkv")],
)
def test_a_graph_in_onnxruntime(
    make_run: Callable[..., Path], tmp_path: Path, words: list[str], target: str
) -> None:
    pytest.importorskip("onnxscript", reason="pip install 'hydra-peft[onnx]'")
    runtime = pytest.importorskip("onnxruntime", reason="pip install 'hydra-peft[onnx]'")
    folder = make_run(*NARROW, *words, f"method.targets=[{target}]")
    written = hydra_peft.export_run(folder, "onnx", tmp_path / "out", cache=tmp_path / "cache")
    pixels = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    session = runtime.InferenceSession(str(written / "model.onnx"))
    (logits,) = session.run(None, {"images": pixels.numpy()})
    trained = hydra_peft.load_run(folder, device="cpu")
    arrays = pixels.permute(0, 2, 3, 1).numpy()
    expected = of_run(folder, torch.stack([trained.transform(array) for array in arrays]))
    np.testing.assert_allclose(logits, expected, atol=1e-5, rtol=1e-4)


def backbone_of(folder: Path) -> dict[str, Tensor]:
    """The weights that the run's backbone has, which were drawn at random."""
    model = hydra_peft.load_run(folder, device="cpu").model
    state = model.state_dict()
    return {name.replace(".base.", "."): t for name, t in state.items() if "head" not in name}


def stock(state: dict[str, Tensor]) -> nn.Module:
    model = timm.create_model("vit_tiny_patch16_224", num_classes=10, **SHAPE)
    missing, _ = model.load_state_dict(state, strict=False)
    assert missing == ["head.weight", "head.bias"]
    return model.eval()


def test_trained_exported_and_loaded_by_both(
    compose_train: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From ``train.py``'s own run, nothing made up."""
    peft = pytest.importorskip("peft", reason="pip install 'hydra-peft[peft]'")
    shorten(monkeypatch)
    words = ["train.epochs=1", "scheduler.warmup_epochs=0", "train.batch_size=16", "device=cpu"]
    paths = [f"paths.runs={tmp_path}/runs", f"paths.cache={tmp_path}/cache"]
    composed = compose_train(*NARROW, *HYDRA, *words, *paths, "optimizer.lr=0.05")
    composed.dataset.sizes = SIZES
    folder = run(on_device(check_config(composed))).folder
    assert (folder / TENSORS).is_file()
    x = torch.randn(3, 3, 32, 32)
    expected = of_run(folder, x)
    written = hydra_peft.export_run(folder, "timm", tmp_path / "timm")
    torch.testing.assert_close(of_timm(written, x), expected, atol=1e-5, rtol=1e-5)
    adapter = hydra_peft.export_run(folder, "peft", tmp_path / "peft")
    assert read_tensors(adapter / "adapter_model.safetensors")
    loaded = peft.PeftModel.from_pretrained(stock(backbone_of(folder)), str(adapter)).eval()
    torch.testing.assert_close(loaded(x), expected, atol=1e-5, rtol=1e-5)
    untouched = stock(backbone_of(folder))
    assert not torch.allclose(untouched(x), expected, atol=1e-3)


@pytest.mark.parametrize(
    "words",
    [
        ["method=branches"],
        ["method=branches", "method.parallel=adaptformer", "method.sequential=adapter"],
        ["method=lora", "model=clip_mini", "head=linear"],
        ["method=lora", "model=clip_mini", "head=linear", "model.image_size=48"],
        ["method=adapter", "model.image_size=64", "+model.antialias=false"],
    ],
)
def test_the_code_of_a_card_loads_adapter_and_backbone(
    make_run: Callable[..., Path],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    words: list[str],
) -> None:
    """On embedded weights, whose head is another; nothing of what was folded is missed."""
    folder = make_run(*words)
    side = next((int(w.split("=")[1]) for w in words if w.startswith("model.image_size=")), 32)
    x = torch.randn(2, 3, side, side)
    written = hydra_peft.export_run(folder, "adapter", tmp_path / "out")
    assert "since inject" not in caplog.text
    code = (written / "README.md").read_text().split("```python\n")[1].split("```")[0]
    bound: dict[str, Any] = {}
    package = str(Path(hydra_peft.__file__).parent)
    exec(code.replace("<hydra_peft>", package).replace("<this folder>", str(written)), bound)
    torch.testing.assert_close(bound["model"](x), of_run(folder, x), atol=1e-5, rtol=1e-5)
