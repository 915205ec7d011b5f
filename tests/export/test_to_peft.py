"""Adapters in peft's form: the library itself, on stock timm, gives the outputs of ours."""

from __future__ import annotations

import json
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from lazy_peft import peft
from torch import nn

import hydra_peft
from hydra_peft.backbones.vit_mini import VIT_MINI
from hydra_peft.errors import UserError
from hydra_peft.export import peft_form
from hydra_peft.export.peft_form import target_modules
from hydra_peft.export.to_peft import write_peft_folder
from hydra_peft.tensor_files import read_tensors

ASSET = Path(hydra_peft.__file__).parent / "assets/vit_mini.safetensors"
ALL = ["attn.qkv", "attn.proj", "mlp.fc2"]


def small(**options: Any) -> nn.Module:
    """A vision transformer of timm's with two narrow blocks; its biases are not zero."""
    shape = {"img_size": 32, "patch_size": 16, "embed_dim": 24, "depth": 2, "num_heads": 2}
    torch.manual_seed(3)
    model = timm.create_model("vit_tiny_patch16_224", num_classes=5, **shape, **options).eval()
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(parameter, std=0.3)
    return model


@pytest.mark.parametrize(
    ("method", "options", "rank", "alpha", "biased"),
    [
        ("lora", {"bias": False, "targets": ["attn.qkv"]}, 4, 4, False),
        ("lora", {"scale": 2.5, "targets": ["attn.proj"]}, 4, 10, True),
        ("lora", {"parts": ["q", "v"], "targets": ["attn.qkv"]}, 8, 8, True),
        ("lora", {"rank_scale": "alpha_over_r", "scale": 6.0, "targets": ALL}, 4, 6, True),
        ("lora", {"rank_scale": "alpha_over_sqrt_r", "scale": 3.0}, 4, 6, True),
        ("lora", {"init": "pissa", "bias": False}, 8, 8, False),
        ("seqlora", {"targets": ["attn.qkv"]}, 6, 6, True),
        ("seqlora", {"targets": ["attn.proj"], "scale": 0.5, "bias": False}, 6, 3, True),
        ("seqlora", {"targets": ["mlp.fc2"]}, 6, 6, True),
        ("hydra", {"targets": ALL}, 4, 4, True),
        ("hydra", {"targets": ["attn.qkv"], "bias": False, "rank_sequential": 3}, 5, 5, True),
        ("hydra", {"targets": ["blocks.[0].attn.proj"], "scale": -0.25}, 4, -1, True),
        ("dora", {"scale": 0.5, "targets": ALL}, 4, 2, False),
        ("vera", {"rank": 16, "targets": ["attn.qkv", "mlp.fc2"]}, 16, None, None),
        ("ia3", {}, None, None, None),
        ("ia3", {"parts": [], "targets": ["attn.qkv", "attn.proj", "mlp.fc2"]}, None, None, None),
    ],
)  # fmt: skip
def test_peft_computes_what_our_adapter_does(
    tmp_path: Path,
    randomize: Callable[[nn.Module], None],
    method: str,
    options: dict[str, Any],
    rank: int | None,
    alpha: float | None,
    biased: bool | None,
) -> None:
    ours, theirs, x = small(), small(), torch.randn(3, 3, 32, 32)
    untouched = theirs(x)
    hydra_peft.inject(ours, method, **options)
    randomize(ours)
    write_peft_folder(ours.eval(), tmp_path)
    loaded = peft.PeftModel.from_pretrained(theirs, str(tmp_path)).eval()
    with torch.no_grad():
        torch.testing.assert_close(loaded(x), ours(x), atol=1e-5, rtol=1e-5)
        assert not torch.allclose(loaded(x), untouched, atol=0.05)
    config = loaded.peft_config["default"]
    found = [getattr(config, name, None) for name in ("r", "lora_alpha", "lora_bias")]
    assert found == [rank, alpha, biased]


def test_a_model_of_ones_own_is_saved_merged_or_not(
    tmp_path: Path, randomize: Callable[[nn.Module], None]
) -> None:
    ours = small()
    hydra_peft.inject(ours, "hydra", targets=ALL)
    randomize(ours)
    hydra_peft.save_peft(ours, tmp_path / "one")
    hydra_peft.merge(ours)
    hydra_peft.save_peft(torch.compile(ours), tmp_path / "two")
    first, second = (
        read_tensors(tmp_path / n / "adapter_model.safetensors") for n in ("one", "two")
    )
    assert first.keys() == second.keys()
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())
    ours.get_parameter("blocks.0.mlp.fc2.weight").data.zero_()
    with pytest.raises(UserError, match="does not hold what merge"):
        hydra_peft.save_peft(ours, tmp_path / "three")
    with pytest.raises(UserError, match="carries no adapter"):
        hydra_peft.save_peft(small(), tmp_path / "three")
    (tmp_path / "file").write_text("")
    hydra_peft.inject(plain := small(), "lora")
    with pytest.raises(UserError, match=r"cannot write .*; the adapter was not saved"):
        hydra_peft.save_peft(plain, tmp_path / "file")
    plain.get_parameter("head.weight").data[0, 0] = float("nan")
    with pytest.raises(UserError, match=r"'head\.weight' has values that are not finite"):
        hydra_peft.save_peft(plain, tmp_path / "three")
    assert not (tmp_path / "three").exists()


def test_layers_without_bias(tmp_path: Path, randomize: Callable[[nn.Module], None]) -> None:
    ours, theirs, x = small(qkv_bias=False), small(qkv_bias=False), torch.randn(3, 3, 32, 32)
    hydra_peft.inject(ours, "hydra", bias=False, targets=["attn.qkv"])
    randomize(ours)
    assert write_peft_folder(ours.eval(), tmp_path)["lora_bias"] is False
    loaded = peft.PeftModel.from_pretrained(theirs, str(tmp_path)).eval()
    torch.testing.assert_close(loaded(x), ours(x), atol=1e-5, rtol=1e-5)


def test_a_run_is_loaded_by_stock_timm_and_peft(
    make_run: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make_run("method=hydra", "head.norm=batch", "head.scale=3")
    written = hydra_peft.export_run(folder, "peft", tmp_path / "out")
    model = timm.create_model("vit_tiny_patch16_224", num_classes=10, **VIT_MINI)
    missing, unexpected = model.load_state_dict(read_tensors(ASSET), strict=False)
    assert (missing, unexpected) == (["head.weight", "head.bias"], [])
    loaded = peft.PeftModel.from_pretrained(model, str(written)).eval()
    run, x = hydra_peft.load_run(folder, device="cpu"), torch.randn(3, 3, 32, 32)
    torch.testing.assert_close(loaded(x), run.model(x), atol=1e-5, rtol=1e-5)
    config = json.loads((written / "adapter_config.json").read_text())
    assert config["target_modules"] == ["attn.proj", "mlp.fc2"]
    assert config["modules_to_save"] == ["head"]
    assert config["base_model_name_or_path"] is None
    card = (written / "README.md").read_text()
    assert "an exact LoRA of rank 4 with lora_bias=True of the peft library" in card
    assert "PeftModel.from_pretrained(model, '<this folder>')" in card


def test_targets_are_patterns_where_peft_reads_them_alike() -> None:
    model = small()
    some = ["blocks.0.attn.proj", "blocks.1.attn.proj"]
    assert target_modules(model, some, ["attn.proj"]) == ["attn.proj"]
    assert target_modules(model, some, ["blocks.[01].attn.proj"]) == some
    assert target_modules(model, some[:1], ["attn.proj"]) == some[:1]


@pytest.mark.parametrize(
    ("method", "why"),
    [
        (
            "linear",
            r"method linear has no exact form in .* none like it\): merge\(model\) and keep .*, or",
        ),
        ("bitfit", r"method bitfit has no exact .* \(it trains '\S+' of the backbone itself\)"),
        (
            "adapter",
            r"has no exact form in .* none like it\): keep it with hydra_peft.save_adapter",
        ),
    ],
)
def test_what_peft_has_not_is_refused(tmp_path: Path, method: str, why: str) -> None:
    model = small()
    hydra_peft.inject(model, method)
    with pytest.raises(UserError, match=why):
        write_peft_folder(model, tmp_path)
    assert not list(tmp_path.iterdir())


def _encoder(**options: Any) -> nn.Module:
    layer = nn.TransformerEncoderLayer(16, 2, 32, **options)
    return nn.Sequential(nn.TransformerEncoder(layer, 1), nn.Linear(16, 5))


def _timm(name: str, **options: Any) -> nn.Module:
    narrow = {"img_size": 32, "patch_size": 16, "embed_dim": 24, "depth": 1, "num_heads": 2}
    return timm.create_model(name, num_classes=5, **narrow, **options)


def _swin() -> nn.Module:
    sizes = {"embed_dim": 16, "depths": [1, 1], "num_heads": [2, 2], "window_size": [4, 4]}
    return torchvision.models.SwinTransformer(patch_size=[4, 4], num_classes=5, **sizes)


@pytest.mark.parametrize(
    ("make", "target", "reader"),
    [
        (lambda: _timm("beit_base_patch16_224"), "attn.qkv", "Attention"),
        (lambda: _timm("eva02_tiny_patch14_224"), "attn.qkv", "EvaAttention"),
        (_swin, "attn.qkv", "ShiftedWindowAttention"),
        (_swin, "attn.proj", "ShiftedWindowAttention"),
        (lambda: _encoder(batch_first=True), "linear1", "TransformerEncoderLayer"),
        (lambda: _encoder(batch_first=True), "linear2", "TransformerEncoderLayer"),
        (lambda: _encoder(batch_first=True), "out_proj", "MultiheadAttention"),
    ],
)
def test_layers_whose_weight_is_read_are_refused(
    tmp_path: Path, make: Callable[[], nn.Module], target: str, reader: str
) -> None:
    options: dict[str, Any] = {"targets": [target], "bias": False, "head": ()}
    model = make()
    name, *_ = hydra_peft.inject(model, "lora", **options).layers
    why = rf"its {reader} reads the weight of '{name}' instead .*: merge\(model\) and keep .*, or"
    with pytest.raises(UserError, match=why):
        hydra_peft.save_peft(model, tmp_path)
    assert not list(tmp_path.iterdir())
    if target.startswith("linear"):  # read in evaluation alone
        hydra_peft.inject(make(), "lora", **options, dropout=0.1)
        return
    with pytest.raises(UserError, match=rf"'{name}' instead of calling the layer, where dropout"):
        hydra_peft.inject(make(), "lora", **options, dropout=0.1)


def test_models_in_a_case_in_which_they_call_the_layer_are_not(tmp_path: Path) -> None:
    called = [(_timm("vit_small_patch16_dinov3"), "attn.qkv"), (_encoder(), "linear1")]
    for model, target in called:
        hydra_peft.inject(model, "lora", targets=[target], bias=False, dropout=0.1, head=())
        hydra_peft.save_peft(model, tmp_path)


def test_a_head_of_several_layers_is_saved_as_it_is(
    tmp_path: Path, randomize: Callable[[nn.Module], None]
) -> None:
    def make() -> nn.Module:
        torch.manual_seed(0)
        head = nn.Sequential(nn.BatchNorm1d(8), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3))
        return nn.Sequential(OrderedDict(body=nn.Linear(6, 8), head=head)).eval()

    ours, x = make(), torch.randn(4, 6)
    hydra_peft.inject(ours, "hydra", targets=["body"])
    randomize(ours)
    hydra_peft.save_peft(ours, tmp_path)
    loaded = peft.PeftModel.from_pretrained(make(), str(tmp_path)).eval()
    torch.testing.assert_close(loaded(x), ours(x), atol=1e-5, rtol=1e-5)
    listed = nn.Sequential(OrderedDict(body=nn.Linear(6, 8), head=nn.ModuleList([nn.Linear(8, 3)])))
    hydra_peft.inject(listed, "lora", targets=["body"])
    with pytest.raises(UserError, match="its head 'head' is a ModuleList, which peft does not"):
        hydra_peft.save_peft(listed, tmp_path)


@pytest.mark.parametrize(("head", "like"), [("fc", "body.fc"), ("out", "lora_dropout")])
def test_a_head_that_peft_would_take_others_for_is_refused(
    tmp_path: Path, head: str, like: str
) -> None:
    body = nn.Sequential(OrderedDict(fc=nn.Linear(6, 8)))
    model = nn.Sequential(OrderedDict([("body", body), (head, nn.Linear(8, 3))]))
    hydra_peft.inject(model, "lora", targets=["body.fc"], head=head)
    with pytest.raises(UserError, match=f"and '{like}' ends as its head '{head}' does: give"):
        hydra_peft.save_peft(model, tmp_path)
    assert not any(tmp_path.iterdir())


def test_a_run_that_peft_cannot_hold_is_found_out_however_small_its_adapter(
    make_run: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["model=timm", "model.architecture=beit_base_patch16_224", "model.pretrained=false"]
    narrow = "model.arguments={img_size: 32, embed_dim: 24, depth: 1, num_heads: 2}"
    lora = ["method=lora", "method.bias=false", "method.targets=[attn.qkv]", "method.scale=1e-9"]
    folder = make_run(*words, narrow, *lora)
    with pytest.raises(UserError, match=r"'blocks.0.attn.qkv' .*: export it merged, to=timm, or"):
        hydra_peft.export_run(folder, "peft", tmp_path / "out")
    monkeypatch.setattr(peft_form, "weight_readings", lambda *_: {})
    with pytest.raises(UserError, match=r"does not call its adapter .* 'blocks.0.attn.qkv': noth"):
        hydra_peft.export_run(folder, "peft", tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"run"}


def test_the_package_is_asked_for_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(UserError, match=r"needs the package peft.* 'hydra-peft\[peft\]'"):
        hydra_peft.export_run(tmp_path, "peft")


@pytest.mark.parametrize("method", ["lora", "hydra"])
def test_an_adapter_keeps_its_dtype_on_a_backbone_of_a_narrower_one(
    tmp_path: Path, randomize: Callable[[nn.Module], None], method: str
) -> None:
    ours = small()
    hydra_peft.inject(ours, method, targets=["attn.qkv"])
    randomize(ours)
    adapter = hydra_peft.trainable_parameters(ours).adapter
    values = {name: parameter.detach().clone() for name, parameter in adapter.items()}
    ours.bfloat16()
    for name, parameter in adapter.items():
        parameter.data = values[name]
    hydra_peft.save_peft(ours, tmp_path)
    tensors = read_tensors(tmp_path / "adapter_model.safetensors")
    place = "blocks.0.attn.qkv"
    down, up = (tensors[f"base_model.model.{place}.lora_{part}.weight"] for part in "AB")
    assert {down.dtype, up.dtype} == {torch.float32}
    expected = values[f"{place}.parallel.up.weight"].double() @ (
        values[f"{place}.parallel.down.weight"].double()
    )
    if method == "hydra":
        weight = ours.get_parameter(f"{place}.base.weight").double()
        second = [values[f"{place}.sequential.{part}.weight"].double() for part in ("up", "down")]
        expected = expected + second[0] @ second[1] @ weight
    torch.testing.assert_close(up.double() @ down.double(), expected, atol=1e-6, rtol=1e-6)


class Noted(nn.Sequential):
    def get_extra_state(self) -> dict[str, int]:
        return {"version": 3}

    def set_extra_state(self, state: dict[str, int]) -> None:
        pass


def test_what_modules_keep_beside_tensors_is_passed_over(
    tmp_path: Path, randomize: Callable[[nn.Module], None], caplog: pytest.LogCaptureFixture
) -> None:
    def make(kind: type[nn.Module], head: type[nn.Module]) -> nn.Module:
        torch.manual_seed(0)
        parts = {"body": kind(nn.Linear(6, 8)), "head": head(nn.Linear(8, 3))}
        return nn.Sequential(OrderedDict(parts)).eval()

    x = torch.randn(4, 6)
    hydra_peft.inject(ours := make(Noted, nn.Sequential), "lora", targets=["body.0"])
    randomize(ours)
    hydra_peft.save_peft(ours, tmp_path)
    assert not caplog.records
    plain = make(nn.Sequential, nn.Sequential)
    loaded = peft.PeftModel.from_pretrained(plain, str(tmp_path)).eval()
    torch.testing.assert_close(loaded(x), ours(x), atol=1e-5, rtol=1e-5)
    hydra_peft.load_peft(again := make(Noted, nn.Sequential), tmp_path)
    torch.testing.assert_close(again(x), ours(x), atol=1e-5, rtol=1e-5)
    hydra_peft.inject(noted := make(nn.Sequential, Noted), "lora", targets=["body.0"])
    hydra_peft.save_peft(noted, tmp_path)
    assert "'head._extra_state' is no tensor" in caplog.text
    hydra_peft.load_peft(make(nn.Sequential, Noted), tmp_path)
