"""What is trained is a fact of the injection, whatever is done to the model afterwards."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import hydra_peft
from hydra_peft import UserError

Change = Callable[[nn.Module], nn.Module]


def _part(model: nn.Module) -> nn.Module:
    model.blocks[0].requires_grad_(False)
    model.head.bias.requires_grad_(False)
    return model


CHANGES: dict[str, Change] = {
    "all frozen": lambda model: model.requires_grad_(False),
    "a part frozen": _part,
    "frozen, then copied": lambda model: copy.deepcopy(model.requires_grad_(False)),
    "frozen, then pickled": lambda model: pickle.loads(pickle.dumps(model.requires_grad_(False))),
    "frozen, other parameters": lambda model: (
        model.requires_grad_(False).load_state_dict(copy.deepcopy(model.state_dict()), assign=True)
        and model
    ),
    "all unfrozen": lambda model: model.requires_grad_(True),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("method", ["full", "hydra", "linear"])
def test_counting_and_saving_do_not_follow_what_requires_a_gradient(
    tiny: nn.Module,
    tmp_path: Path,
    randomize: Callable[[nn.Module], None],
    method: str,
    change: Change,
) -> None:
    model = copy.deepcopy(tiny)
    hydra_peft.inject(model, method)
    randomize(model)
    # Widths 12 and 48, two blocks of attn.proj, mlp.fc1 and mlp.fc2, a norm, three classes.
    backbone = 2 * (12 * 12 + 12 + 12 * 48 + 48 + 48 * 12 + 12) + 2 * 12
    sides = ((12, 12), (12, 12), (48, 12), (12, 12))  # parallel, sequential; proj, then fc2
    branches = 2 * sum(2 * (a + b) + 2 + b for a, b in sides)
    counts = hydra_peft.count_parameters(model)
    assert counts.adapter == {"full": backbone, "hydra": branches, "linear": 0}[method]
    assert counts.head == 12 * 3 + 3
    names = list(hydra_peft.trainable_parameters(model).adapter)
    changed = change(model)
    assert hydra_peft.count_parameters(changed) == counts
    assert list(hydra_peft.trainable_parameters(changed).adapter) == names
    hydra_peft.save_adapter(changed, tmp_path)
    hydra_peft.load_adapter(tiny, tmp_path)
    x = torch.randn(4, 12)
    assert torch.equal(tiny(x), changed(x))


def test_what_else_requires_a_gradient_is_told_of_when_saving(
    tiny: nn.Module, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hydra_peft.inject(tiny, "lora")
    hydra_peft.save_adapter(tiny, tmp_path)
    assert not caplog.messages
    tiny.norm.requires_grad_(True)
    hydra_peft.save_adapter(tiny, tmp_path)
    assert "2 parameters that require a gradient, such as 'norm.weight'" in caplog.text


def test_a_head_that_was_replaced_is_the_head(tiny: nn.Module) -> None:
    hydra_peft.inject(tiny, "lora")
    tiny.head = nn.Linear(12, 7, bias=False).requires_grad_(False)
    assert hydra_peft.count_parameters(tiny).head == 12 * 7
    tiny.head = nn.Identity()
    assert hydra_peft.count_parameters(tiny).head == 0


def _other_layer(model: nn.Module) -> None:
    model.blocks[1]["attn"]["proj"] = nn.Linear(12, 12)


def _no_head(model: nn.Module) -> None:
    del model.head


def _other_norm(model: nn.Module) -> None:
    model.norm = nn.Identity()


def _quantised(model: nn.Module) -> None:
    model.blocks[0]["attn"]["proj"].parallel.down = nn.Identity()  # as torch.ao replaces it


@pytest.mark.parametrize(
    ("method", "change", "message"),
    [
        ("lora", _other_layer, r"'blocks\.1\.attn\.proj' carries no .* \(1 of 4 adapted layers"),
        ("hydra", _quantised, r"'blocks\.0\.attn\.proj\.parallel\.down\.weight' is trained by"),
        ("lora", _no_head, "TinyNet has no head 'head'"),
        ("full", _other_norm, r"'norm\.weight' is trained by method 'full' and is no parameter"),
    ],
)
def test_what_was_trained_and_is_gone_is_told_of(
    tiny: nn.Module, tmp_path: Path, method: str, change: Callable[[nn.Module], None], message: str
) -> None:
    hydra_peft.inject(tiny, method)
    change(tiny)
    with pytest.raises(UserError, match=message):
        hydra_peft.count_parameters(tiny)
    with pytest.raises(UserError, match=message):
        hydra_peft.save_adapter(tiny, tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


def test_a_model_that_holds_an_adapted_one_is_told_from_it(tiny: nn.Module) -> None:
    hydra_peft.inject(tiny, "lora")
    holder = nn.Sequential(nn.ReLU(), tiny)
    with pytest.raises(UserError, match="its part '1' does: pass that"):
        hydra_peft.count_parameters(holder)
    with pytest.raises(
        UserError, match=r"already carries an adapter at '1\.blocks\.0\.attn\.proj'"
    ):
        hydra_peft.inject(holder, "lora")
