"""Runs that start from a LoRA in peft's form (init_from=<its folder>)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from torch import nn

import hydra_peft
from hydra_peft.backbones.vit_mini import VIT_MINI
from hydra_peft.config.quoting import override_value
from hydra_peft.config.schema import RunConfig
from hydra_peft.errors import UserError
from hydra_peft.export.to_peft import write_peft_folder
from hydra_peft.runs.first_look import look_first
from hydra_peft.runs.outcome import Outcome
from hydra_peft.tables.grouping import build_tables
from hydra_peft.tensor_files import read_tensors

#: peft's scale of the exported Hydra is 4 / 4
FITTING = ["method=lora", "method.rank=4", "method.scale=4", "method.rank_scale=alpha_over_r"]
#: so slow that what was started from is still there after an epoch
STILL = ["optimizer.lr=1e-10", "train.epochs=1"]
SHALLOW = ["model.pretrained=false", "+model.arguments.depth=2"]


@pytest.fixture
def model() -> list[str]:
    """What peft saved is of the pretrained model."""
    return []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A Hydra of rank 2+2 in peft's form, on two blocks of vit_mini."""
    shape = {**VIT_MINI, "depth": 2}
    model = timm.create_model("vit_tiny_patch16_224", num_classes=3, **shape).eval()
    hydra_peft.inject(model, "hydra")
    for parameter in hydra_peft.trainable_parameters(model).adapter.values():
        nn.init.normal_(parameter, std=0.1)
    write_peft_folder(model, tmp_path / "peft")
    return tmp_path / "peft"


def start(folder: Path) -> str:
    return f"init_from={override_value(str(folder))}"


def test_the_lora_is_taken_and_the_head_is_fresh(do: Callable[..., Outcome], folder: Path) -> None:
    words = [*FITTING, *SHALLOW, *STILL]
    fresh, started = do(*words).record, do(*words, start(folder))
    record = started.record
    assert record.init_from["task"] == record.init_from["config_id"] == "peft"
    assert record.config_id != fresh.config_id
    theirs = read_tensors(folder / "adapter_model.safetensors")
    ours = read_tensors(started.folder / "adapter.safetensors")
    for name in ("blocks.0.attn.proj", "blocks.1.mlp.fc2"):
        for own, part in (("down", "A"), ("up", "B")):
            expected = theirs[f"base_model.model.{name}.lora_{part}.weight"]
            found = ours[f"{name}.parallel.{own}.weight"]
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    assert ours["head.weight"].shape == (10, 128)
    (table,), _ = build_tables([fresh, record])
    assert len({row.label for row in table.rows}) == 2


@pytest.mark.parametrize("words", [["method=hydra"], ["method.scale=1"], ["method.rank=2"],
                                   ["method.bias=false"], ["method.init=pissa"]])  # fmt: skip
def test_what_to_type_is_told_before_torch_is_needed(
    configure: Callable[..., RunConfig], folder: Path, words: list[str]
) -> None:
    usual = [] if words == ["method=hydra"] else FITTING
    config = configure(*usual, *words, start(folder))
    told = (
        r"set method=lora method\.rank=4 method\.scale=4 method\.rank_scale=alpha_over_r method\.b"
    )
    with pytest.raises(UserError, match=r"init_from=.*a LoRA of peft's.*" + told):
        look_first(config)


def test_other_layers_are_told_before_training(do: Callable[..., Outcome], folder: Path) -> None:
    words = [*FITTING, *SHALLOW, "method.targets=[mlp.fc2]"]
    with pytest.raises(UserError, match=r"is on 4 layers.*\[attn\.proj,mlp\.fc2\]"):
        do(*words, start(folder))


def test_no_plain_lora_is_no_start(configure: Callable[..., RunConfig], folder: Path) -> None:
    path = folder / "adapter_config.json"
    config = configure(*FITTING, start(folder))
    look_first(config)
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "lora_alpha": 2}))
    with pytest.raises(UserError, match=r"were changed since"):
        look_first(config)
    path.write_text(json.dumps({**values, "use_dora": True}))
    with pytest.raises(UserError, match=r"init_from=.*has use_dora=True, which our LoRA does not"):
        configure(*FITTING, start(folder))
