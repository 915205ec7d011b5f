"""LoRAs that peft saved, in a model of ours: the same outputs, and a sentence for each mistake."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from lazy_peft import peft
from torch import nn

import hydra_peft
from hydra_peft.errors import UserError
from hydra_peft.export.to_peft import write_peft_folder
from hydra_peft.tensor_files import read_tensors, write_tensors

SHAPE = {"img_size": 32, "patch_size": 16, "embed_dim": 24, "depth": 2, "num_heads": 2}


def small(outputs: int = 5, **changes: Any) -> nn.Module:
    torch.manual_seed(3)
    shape = {**SHAPE, **changes}
    return timm.create_model("vit_tiny_patch16_224", num_classes=outputs, **shape).eval()


def saved(folder: Path, **options: Any) -> nn.Module:
    """A LoRA of peft's own with random values, saved by peft; the model that it is on."""
    usual = {"r": 3, "lora_alpha": 5, "target_modules": ["attn.qkv", "mlp.fc2"]}
    config = peft.LoraConfig(**{**usual, "modules_to_save": ["head"], **options})
    model = peft.get_peft_model(small(), config)
    for name, parameter in model.named_parameters():
        if "lora_" in name or "modules_to_save" in name:
            nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(folder)
    return model.eval()


@pytest.mark.filterwarnings("ignore:Adapter 'default'")  # peft's own, of biases as it saves them
@pytest.mark.parametrize(
    ("options", "scale", "targets"),
    [
        ({}, 5 / 3, ["attn.qkv", "mlp.fc2"]),
        ({"use_rslora": True, "lora_bias": True}, 5 / 3**0.5, ["attn.qkv", "mlp.fc2"]),
        (
            {"target_modules": r"blocks\.1\.attn\.(qkv|proj)", "modules_to_save": None},
            5 / 3,
            ["blocks.1.attn.qkv", "blocks.1.attn.proj"],
        ),
    ],
)
def test_it_computes_the_same_merges_and_is_saved_as_ours(
    tmp_path: Path, options: dict[str, Any], scale: float, targets: list[str]
) -> None:
    theirs, ours, x = saved(tmp_path / "peft", **options), small(5), torch.randn(3, 3, 32, 32)
    done = hydra_peft.load_peft(ours, tmp_path / "peft")
    expected = theirs(x)
    torch.testing.assert_close(ours(x), expected, atol=1e-5, rtol=1e-5)
    assert sorted(done.method.targets) == sorted(targets)
    assert ours.get_submodule("blocks.1.attn.qkv").scale == pytest.approx(scale)
    hydra_peft.save_adapter(ours, tmp_path / "ours")
    fresh = small(5)
    hydra_peft.load_adapter(fresh, tmp_path / "ours")
    hydra_peft.merge(fresh)
    torch.testing.assert_close(fresh(x), expected, atol=1e-5, rtol=1e-5)


def test_a_head_of_another_size_is_taken(tmp_path: Path) -> None:
    theirs, ours, x = saved(tmp_path), small(), torch.randn(3, 3, 32, 32)
    ours.reset_classifier(9)
    hydra_peft.load_peft(ours, tmp_path)
    torch.testing.assert_close(ours(x), theirs(x), atol=1e-5, rtol=1e-5)


def test_a_head_that_was_named_comes_with_it(
    tmp_path: Path, randomize: Callable[[nn.Module], None]
) -> None:
    def make() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(OrderedDict(body=nn.Linear(6, 8), predictor=nn.Linear(8, 3))).eval()

    ours, fresh, x = make(), make(), torch.randn(4, 6)
    hydra_peft.inject(ours, "lora", targets=["body"], head="predictor")
    randomize(ours)
    hydra_peft.save_peft(ours, tmp_path)
    assert hydra_peft.load_peft(fresh, tmp_path).head == ("predictor",)
    torch.testing.assert_close(fresh(x), ours(x), atol=1e-5, rtol=1e-5)


def test_what_we_exported_comes_back(
    tmp_path: Path, randomize: Callable[[nn.Module], None]
) -> None:
    hydra, lora, x = small(), small(), torch.randn(3, 3, 32, 32)
    hydra_peft.inject(hydra, "hydra", scale=0.5)
    randomize(hydra)
    write_peft_folder(hydra.eval(), tmp_path, timm="vit_of_ours")
    done = hydra_peft.load_peft(lora, tmp_path)
    assert done.method.label == "lora r=4"
    torch.testing.assert_close(lora(x), hydra(x), atol=1e-5, rtol=1e-5)
    with pytest.raises(UserError, match=r"another backbone \('vit_of_ours'\) than this Vision"):
        hydra_peft.load_peft(small(depth=3), tmp_path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"use_dora": True}, r"has use_dora=True, which our LoRA does not compute: merge it"),
        ({"rank_pattern": {"attn.qkv": 2}}, r"has rank_pattern=.*, which our LoRA does not"),
        ({"bias": "all"}, r"has bias='all'"),
        ({"peft_type": "IA3"}, r"peft_type='IA3', and only LORA is read"),
        ({"init_lora_weights": "pissa"}, r"'pissa', which changes the backbone's weights"),
        ({"r": 4}, r"the LoRA on 'blocks\.0\.attn\.qkv' has .* and r=4 on a linear layer 24->72"),
        ({"r": "3"}, r"r='3' and lora_alpha=5: expected a positive"),
        ({"lora_alpha": 0}, r"lora_alpha=0: expected"),
        ({"lora_dropout": "x"}, "lora_dropout='x': expected a number"),
        ({"lora_dropout": [1]}, r"lora_dropout=\[1\]: expected a number"),
        ({"use_rslora": "false"}, "use_rslora='false': expected true or false"),
        ({"lora_bias": True}, r"the LoRA on .* has "),
    ],
)
def test_another_config_is_told(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    saved(tmp_path)
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    model = small()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(UserError, match=told):
        hydra_peft.load_peft(model, tmp_path)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_another_backbone_is_told(tmp_path: Path) -> None:
    saved(tmp_path)
    with pytest.raises(UserError, match=r"the LoRA on 'blocks\.0\.attn\.qkv' has .* 48->144"):
        hydra_peft.load_peft(small(embed_dim=48), tmp_path)
    with pytest.raises(
        UserError, match=r"a LoRA on 'blocks\.1\.attn\.qkv', where this .* no layer"
    ):
        hydra_peft.load_peft(small(depth=1), tmp_path)


def test_broken_files_are_told(tmp_path: Path) -> None:
    saved(tmp_path)
    path = tmp_path / "adapter_model.safetensors"
    tensors = read_tensors(path)
    odd = {**tensors, "base_model.model.norm.weight": torch.full((24,), 2.0)}
    write_tensors(path, odd, {})
    with pytest.raises(UserError, match=r"'norm\.weight' is neither of a LoRA nor of the head"):
        hydra_peft.load_peft(small(), tmp_path)
    first = next(iter(tensors))
    write_tensors(path, {**tensors, first: tensors[first] * float("nan")}, {})
    with pytest.raises(UserError, match=r"has values that are not finite"):
        hydra_peft.load_peft(small(), tmp_path)
    write_tensors(path, {n: t for n, t in tensors.items() if "lora" not in n}, {})
    with pytest.raises(UserError, match=r"has no tensors called lora_A and lora_B"):
        hydra_peft.load_peft(small(), tmp_path)
    write_tensors(path, tensors, {"hydra_peft_backbone": "[" * 100_000})
    with pytest.raises(UserError, match=r"its header says nothing readable under 'hydra_peft_bac"):
        hydra_peft.load_peft(small(), tmp_path)
    path.rename(tmp_path / "adapter_model.bin")
    with pytest.raises(UserError, match=r"adapter_model\.bin, a pickle, which can run code"):
        hydra_peft.load_peft(small(), tmp_path)
    (tmp_path / "adapter_config.json").unlink()
    with pytest.raises(UserError, match=r"has no adapter_config\.json: give the folder of a peft"):
        hydra_peft.load_peft(small(), tmp_path)


def test_float32_on_bfloat16_stays_as_peft_has_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    saved(tmp_path, modules_to_save=None)
    ours, x = small().bfloat16(), torch.randn(3, 3, 32, 32).bfloat16()
    theirs = peft.PeftModel.from_pretrained(small().bfloat16(), tmp_path).eval()
    hydra_peft.load_peft(ours, tmp_path)
    adapter = hydra_peft.trainable_parameters(ours).adapter
    assert {p.dtype for p in adapter.values()} == {torch.float32}
    assert not caplog.records
    torch.testing.assert_close(ours(x), theirs(x), rtol=0.02, atol=0.02)
