"""Merged weights in timm's form: stock timm builds, loads and feeds them as the run was."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import yaml
from PIL import Image
from timm.data import create_transform, resolve_data_config, resolve_model_data_config

import hydra_peft
from hydra_peft.backbones.vit_mini import VIT_MINI
from hydra_peft.data.cropping import middle
from hydra_peft.errors import UserError
from hydra_peft.export.exporting import _staged
from hydra_peft.export.source import load_source, normalised
from hydra_peft.export.to_timm import description

NAMES = [f"class {letter}" for letter in "abcdefghij"]


def front_matter(card: str) -> dict[str, Any]:
    return dict(yaml.safe_load(card.split("---\n")[1]))


def test_stock_timm_loads_it_and_computes_the_same(
    make_run: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make_run("method=hydra", "method.scale=0.5", "data.normalization=imagenet")
    run, x = hydra_peft.load_run(folder, device="cpu"), torch.randn(3, 3, 32, 32)
    written = hydra_peft.export_run(folder, output=tmp_path / "a/b")
    weights = str(written / "model.safetensors")
    model = timm.create_model(
        "vit_tiny_patch16_224", num_classes=10, checkpoint_path=weights, **VIT_MINI
    )
    with torch.no_grad():
        expected = run.model(x)
        torch.testing.assert_close(model.eval()(x), expected, atol=1e-5, rtol=1e-5)
    config = json.loads((written / "config.json").read_text())
    assert config["label_names"] == NAMES
    assert config["pretrained_cfg"]["mean"] == [0.485, 0.456, 0.406]
    # Newer versions read the folder itself, and prepare images as the run did.
    whole = timm.create_model(f"local-dir:{written}", pretrained=True).eval()
    assert torch.equal(whole(x), model(x))
    pixels = np.random.RandomState(0).randint(0, 256, (50, 40, 3), np.uint8)
    image = Image.fromarray(pixels)
    transform = create_transform(**resolve_model_data_config(whole))
    torch.testing.assert_close(transform(image), run.transform(image), atol=1e-6, rtol=0)


def test_the_middle_of_images_is_timms_centre(make_run: Callable[..., Path]) -> None:
    source = load_source(make_run("method=linear", "data.crop='true'"))
    config = description(source)["pretrained_cfg"]
    transform = create_transform(**resolve_data_config({}, pretrained_cfg=config))
    pixels = np.random.RandomState(0).randint(0, 256, (50, 80, 3), np.uint8)
    expected = torch.from_numpy(middle(pixels, source.size)).permute(2, 0, 1)[None]
    expected = normalised(expected, source.mean, source.std)[0]
    torch.testing.assert_close(transform(Image.fromarray(pixels)), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("size", [[], ["model.image_size=64"]], ids=["", "sized"])
@pytest.mark.parametrize(
    ("name", "bound"),
    [
        ("test_convnext", False),
        ("test_mambaout", False),
        ("test_vit", True),
        ("gmlp_ti16_224", True),
    ],
)
def test_only_constructors_that_take_a_size_are_given_one(
    make_run: Callable[..., Path], tmp_path: Path, name: str, bound: int, size: list[str]
) -> None:
    words = ["model=timm", f"model.architecture={name}", "model.pretrained=false", *size]
    folder = make_run(*words, "method=lora", "method.targets=[fc2]")
    written = hydra_peft.export_run(folder, output=tmp_path / "out")
    config = json.loads((written / "config.json").read_text())["pretrained_cfg"]
    assert config["fixed_input_size"] is bool(bound)
    whole = timm.create_model(f"local-dir:{written}", pretrained=True).eval()
    run = hydra_peft.load_run(folder, device="cpu")
    x = torch.randn(2, 3, *run.size)
    with torch.no_grad():
        torch.testing.assert_close(whole(x), run.model(x), atol=1e-5, rtol=1e-4)


def test_a_config_that_timm_cannot_build_from_is_found_out(
    make_run: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hydra_peft.export.to_timm._size_is_bound", lambda _: True)
    words = ["model=timm", "model.architecture=test_convnext", "model.pretrained=false"]
    folder = make_run(*words, "method=lora", "method.targets=[mlp.fc2]")
    with pytest.raises(
        UserError, match=r"timm does not build the model from its config\.json \(Type"
    ):
        hydra_peft.export_run(folder, output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_card_says_what_it_is_and_names_no_path(
    make_run: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make_run("method=seqlora")
    record = json.loads((folder / "result.json").read_text())
    card = (hydra_peft.export_run(folder, output=tmp_path / "out") / "README.md").read_text()
    assert front_matter(card) == {
        "library_name": "timm",
        "license": "mit",
        "pipeline_tag": "image-classification",
        "tags": ["timm", "hydra_peft"],
    }
    assert "# seqlora r=6 on vit_mini, mini/digits" in card
    for said in (record["config_id"], record["weights"]["sha256"], "a" * 64, "Protocol `clean`"):
        assert said in card
    assert "| test | **accuracy** |" in card
    assert "10 classes: class a, class b" in card
    assert str(tmp_path) not in card
    assert os.getcwd() not in card


def test_methods_without_adapters_go_and_those_that_cannot_merge_say_why(
    make_run: Callable[..., Path], tmp_path: Path
) -> None:
    hydra_peft.export_run(make_run("method=bitfit"), output=tmp_path / "own")
    folder = make_run("method=adapter")
    with pytest.raises(UserError, match=r"method adapter cannot be merged into .*load_run"):
        hydra_peft.export_run(folder, output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_heads_that_are_linear_in_the_end_are_folded(
    make_run: Callable[..., Path], tmp_path: Path
) -> None:
    small = "model.arguments={img_size: 32, embed_dim: 24, depth: 1, num_heads: 2}"
    words = ("model=timm", "model.pretrained=false", small, "model.projection=12")
    name = "model.architecture=vit_base_patch32_clip_quickgelu_224.openai"
    folder = make_run(*words, name, "method=lora", "head.norm=batch", "head.scale=3")
    hydra_peft.export_run(folder, output=tmp_path / "out")  # which compares outputs
    folder = make_run("method=lora", "head.norm=unit")
    with pytest.raises(UserError, match=r"head\.norm=unit\), which no linear layer does"):
        hydra_peft.export_run(folder, output=tmp_path / "none")


def test_an_export_takes_the_place_of_an_earlier_one(make_run: Callable[..., Path]) -> None:
    folder = make_run("method=lora")
    (folder / "timm").mkdir()
    (folder / "timm/model.safetensors").write_bytes(b"earlier")
    written = hydra_peft.export_run(folder)
    assert written == folder / "timm"
    assert (written / "model.safetensors").stat().st_size > 10**6
    names = sorted(path.name for path in written.iterdir())
    assert names == ["README.md", "config.json", "model.safetensors"]


def test_nothing_is_moved_where_a_folder_has_the_name_of_a_file(tmp_path: Path) -> None:
    target = tmp_path / "out"
    (target / "model.safetensors").mkdir(parents=True)
    staged = _staged(target)
    place = staged.__enter__()
    for name in ("README.md", "model.safetensors"):
        (place / name).touch()
    with pytest.raises(IsADirectoryError):
        staged.__exit__(None, None, None)
    assert [path.name for path in target.iterdir()] == ["model.safetensors"]
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("text", ["A run of hydra_peft, merged.", "My notes", None])
def test_files_that_no_export_wrote_are_not_replaced(tmp_path: Path, text: str | None) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "model.safetensors").write_bytes(b"earlier")
    if text:
        (target / "README.md").write_text(text)
    ours = (text or "").startswith("A run of")
    refused = pytest.raises(UserError, match="that no export wrote, and this one would replace it")
    with nullcontext() if ours else refused, _staged(target) as place:
        (place / "model.safetensors").write_bytes(b"later")
    assert (target / "model.safetensors").read_bytes() == (b"later" if ours else b"earlier")


def test_a_wrong_model_is_found_out(
    make_run: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hydra_peft.export.to_timm.merged_copy", _off_by_a_little)
    with pytest.raises(UserError, match=r"timm's model gives other outputs than the run's"):
        hydra_peft.export_run(make_run("method=lora"), output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def _off_by_a_little(model: torch.nn.Module) -> torch.nn.Module:
    from hydra_peft.export.plain import merged_copy

    copied = merged_copy(model)
    with torch.no_grad():
        copied.get_parameter("blocks.2.mlp.fc2.bias")[0] += 0.1
    return copied


def test_runs_that_did_not_complete_are_refused(
    make_run: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make_run("method=lora", status="diverged", error="the loss is not finite.")
    with pytest.raises(UserError, match=r"is diverged"):
        hydra_peft.export_run(folder, output=tmp_path / "out")
    with pytest.raises(UserError, match=r"to 'onxx' is unknown"):
        hydra_peft.export_run(folder, "onxx")
