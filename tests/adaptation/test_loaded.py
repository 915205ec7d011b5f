"""State dicts that fit the adapters of a model in part are refused before torch loads any of it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

import hydra_peft
from hydra_peft import UserError
from hydra_peft.methods import method_names

PROJ, FC2 = "attn.proj", "mlp.fc2"
#: methods of vision transformers and supernets, which this model of linear layers is not for
OTHERS = {
    "noah",
    "adapterdrop",
    "vpt_deep",
    "vpt_shallow",
    "adapter",
    "adapter_plus",
    "adaptformer",
}
OTHERS |= {"compacter", "kadaptation"}


def adapted(net: nn.Module, method: str, **options: Any) -> nn.Module:
    model = copy.deepcopy(net)
    torch.manual_seed(1)
    hydra_peft.inject(model, method, **options)
    return model


@pytest.mark.parametrize("alone", [False, True], ids=["whole", "adapter_state_dict"])
@pytest.mark.parametrize(
    ("there", "here", "message"),
    [
        (("lora", [PROJ, FC2]), ("lora", [FC2]), "of a model with an adapter at"),
        (("lora", [FC2]), ("linear", None), r"at 'blocks\.0\.mlp\.fc2' .* has none"),
        (("lora", [FC2]), ("bitfit", None), "where this model has none"),
        (("lora", [FC2]), ("full", None), "where this model has none"),
        (("hydra", [FC2]), ("lora", [FC2]), "as one with another adapter has"),
        (("lora", [FC2]), ("hydra", [FC2]), r"lacks 'blocks.0.mlp.fc2.sequential.down.weight'"),
        (("dora", [FC2]), ("lora", [FC2]), "as one with another adapter has"),
    ],
)
def test_adapters_in_other_places_or_of_another_kind(
    tiny: nn.Module, there: Any, here: Any, message: str, alone: bool
) -> None:
    def build(method: str, targets: Any) -> nn.Module:
        return adapted(tiny, method, **({"targets": targets} if targets else {}))

    other, model = build(*there), build(*here)
    before = copy.deepcopy(model.state_dict())
    state = hydra_peft.adapter_state_dict(other) if alone else other.state_dict()
    with pytest.raises(UserError, match=message):
        model.load_state_dict(state, strict=False)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_more_adapters_here_than_there(tiny: nn.Module) -> None:
    model = adapted(tiny, "lora", targets=[PROJ, FC2])
    with pytest.raises(UserError, match=r"'blocks.0.attn.proj.weight', as one without it, or merg"):
        model.load_state_dict(adapted(tiny, "lora", targets=[FC2]).state_dict(), strict=False)


def test_a_merged_model_and_adapters_elsewhere(tiny: nn.Module) -> None:
    model = adapted(tiny, "lora", targets=[FC2])
    hydra_peft.merge(model)
    with pytest.raises(UserError, match="where this model has none"):
        model.load_state_dict(adapted(tiny, "lora", targets=[PROJ]).state_dict(), strict=False)


@pytest.mark.parametrize("method", sorted(set(method_names()) - OTHERS))
def test_what_fits_is_loaded(tiny: nn.Module, method: str) -> None:
    """Whole, the adapter alone, the head alone, the backbone alone, what a wrapper holds beside."""
    tiny = tiny.eval()
    options = (
        {} if method in ("linear", "full", "bitfit", "ssf", "branches") else {"targets": [FC2]}
    )
    options |= {"rank": 2} if method.startswith("fact") else {}
    other, model = adapted(tiny, method, **options), adapted(tiny, method, **options)
    for parameter in other.parameters():
        nn.init.normal_(parameter, std=0.2)
    state, x = other.state_dict(), torch.randn(3, 12)
    head = {name: tensor for name, tensor in state.items() if name.startswith("head.")}
    model.load_state_dict(head, strict=False)
    model.load_state_dict(hydra_peft.adapter_state_dict(other, head=False), strict=False)
    model.load_state_dict({n: t for n, t in state.items() if "base." in n}, strict=False)
    model.load_state_dict(state)
    assert torch.equal(model.eval()(x), other.eval()(x))
    both = nn.ModuleDict({"student": adapted(tiny, method, **options), "teacher": tiny})
    named = {f"student.{name}": tensor for name, tensor in state.items()}
    both.load_state_dict({**named, **{f"teacher.{n}": t for n, t in tiny.state_dict().items()}})
    assert torch.equal(both["student"].eval()(x), other(x))
