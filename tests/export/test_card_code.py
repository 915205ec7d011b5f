"""The code of a model card, run as it stands: all of the backbone's weights, or an error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from npz_writer import google_names
from plugin_package import importable
from safetensors.torch import save_file
from torch import Tensor, nn

import hydra_peft
from hydra_peft import plugins
from hydra_peft.errors import UserError

SHAPE: dict[str, Any] = {"img_size": 32, "embed_dim": 24, "depth": 1, "num_heads": 2}
VIT = [
    "model.architecture=vit_tiny_patch16_224",
    "model.arguments={img_size: 32, embed_dim: 24, depth: 1, num_heads: 2}",
]
CONVNEXT = ["model.architecture=test_convnext", "method.targets=[mlp.fc2]"]


def drawn(name: str, **options: Any) -> nn.Module:
    """A model of timm's with seven classes, all of whose values were drawn."""
    model = timm.create_model(name, num_classes=7, **options).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.2)
    return model


def state_of(model: nn.Module, prefix: str = "") -> dict[str, Tensor]:
    return {f"{prefix}{n}": t.contiguous() for n, t in model.state_dict().items()}


def run_card(written: Path, weights: Path, **said: str) -> nn.Module:
    code = (written / "README.md").read_text().split("```python\n")[1].split("```")[0]
    for before, after in {"<this folder>": str(written), "<weights>": str(weights), **said}.items():
        assert before in code
        code = code.replace(before, after)
    bound: dict[str, Any] = {}
    exec(code, bound)
    model: nn.Module = bound["model"]
    return model


def check_same(folder: Path, model: nn.Module) -> None:
    run = hydra_peft.load_run(folder, device="cpu")
    x = torch.randn(2, 3, *run.size)
    with torch.no_grad():
        torch.testing.assert_close(model(x), run.model(x), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("form", ["adapter", "peft"])
@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
def test_names_that_a_wrapper_made_longer(
    make_run: Callable[..., Path], tmp_path: Path, prefix: str, form: str
) -> None:
    if form == "peft":
        pytest.importorskip("peft", reason="pip install 'hydra-peft[peft]'")
    torch.save(state_of(drawn("vit_tiny_patch16_224", **SHAPE), prefix), tmp_path / "w.pth")
    folder = make_run("model=timm", *VIT, f"model.checkpoint={tmp_path}/w.pth", "method=lora")
    written = hydra_peft.export_run(folder, form, tmp_path / "out")
    check_same(folder, run_card(written, tmp_path / "w.pth"))


@pytest.mark.parametrize("key", ["", "model", "state_dict"])
@pytest.mark.parametrize(
    ("words", "name", "options"),
    [
        (CONVNEXT, "test_convnext", {}),  # a norm of the backbone in its head
        (VIT, "vit_tiny_patch16_224", {**SHAPE, "img_size": 64}),  # resampled, as in the run
    ],
)
def test_training_checkpoints_and_what_timm_converts(
    make_run: Callable[..., Path],
    tmp_path: Path,
    key: str,
    words: list[str],
    name: str,
    options: dict[str, Any],
) -> None:
    state = state_of(drawn(name, **options))
    torch.save({key: state, "epoch": 3} if key else state, tmp_path / "w.pth")
    folder = make_run("model=timm", *words, f"model.checkpoint={tmp_path}/w.pth", "method=lora")
    written = hydra_peft.export_run(folder, "adapter", tmp_path / "out")
    check_same(folder, run_card(written, tmp_path / "w.pth"))


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_other_formats(make_run: Callable[..., Path], tmp_path: Path, suffix: str) -> None:
    model, file = drawn("vit_tiny_patch16_224", **SHAPE), tmp_path / f"w{suffix}"
    if suffix == ".npz":
        np.savez(file, **google_names(model))
    else:
        save_file(state_of(model), file)
    folder = make_run("model=timm", *VIT, f"model.checkpoint={file}", "method=lora")
    written = hydra_peft.export_run(folder, "adapter", tmp_path / "out")
    check_same(folder, run_card(written, file))


def test_weights_of_another_model_end_in_an_error(
    make_run: Callable[..., Path], tmp_path: Path
) -> None:
    state = state_of(drawn("vit_tiny_patch16_224", **SHAPE))
    torch.save(state, tmp_path / "w.pth")
    folder = make_run("model=timm", *VIT, f"model.checkpoint={tmp_path}/w.pth", "method=lora")
    written = hydra_peft.export_run(folder, "adapter", tmp_path / "out")
    torch.save({f"other.{n}": t for n, t in state.items()}, tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"of another model, they lack .*'cls_token'"):
        run_card(written, tmp_path / "w.pth")


@pytest.mark.parametrize("installed", [True, False])
def test_a_method_of_somebodys_own_is_made_known(
    make_run: Callable[..., Path], tmp_path: Path, installed: bool
) -> None:
    torch.save(state_of(drawn("vit_tiny_patch16_224", **SHAPE)), tmp_path / "w.pth")
    model = ["model=timm", *VIT, f"model.checkpoint={tmp_path}/w.pth"]
    own = [] if installed else ["plugins=[peft_gain.gain]"]
    with importable(tmp_path / "site", installed=installed) as conf:
        if not installed:
            plugins.use(["peft_gain.gain"])
        searched = f"hydra.searchpath=[file://{conf}]"
        folder = make_run(*model, *own, searched, "method=gain")
        written = hydra_peft.export_run(folder, "adapter", tmp_path / "out")
        run = hydra_peft.load_run(folder, device="cpu")
    card = (written / "README.md").read_text()
    assert "| whose the method is | peft_gain.gain" in card
    assert ("is of the package peft-gain 0.1.0, which must be installed" in card) == installed
    x = torch.randn(2, 3, 32, 32)
    with importable(tmp_path / "again", installed=installed):
        loaded = run_card(written, tmp_path / "w.pth")
    torch.testing.assert_close(loaded(x), run.model(x), atol=1e-5, rtol=1e-4)
    with pytest.raises((UserError, ImportError)):
        run_card(written, tmp_path / "w.pth")
