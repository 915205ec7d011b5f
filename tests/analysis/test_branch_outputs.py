"""Branch outputs against the formula, computed from the weights."""

from __future__ import annotations

import pytest
import torch

from hydra_peft.adaptation.carried import adapters
from hydra_peft.adaptation.injection import inject
from hydra_peft.analysis.branches import PARALLEL, PRETRAINED, SEQUENTIAL, branch_outputs
from hydra_peft.backbones.architectures import build_architecture


@pytest.mark.parametrize("method", ["hydra", "lora", "seqlora"])
@pytest.mark.parametrize("bias", [True, False])
def test_terms_are_those_of_eq_10(method: str, bias: bool) -> None:
    model = build_architecture("vit_mini", {})
    inject(model, method, targets=["attn.proj", "mlp.fc2"], rank=3, scale=0.5, bias=bias, head=())
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    name, layer = [pair for pair in adapters(model) if pair[0].endswith("fc2")][-1]
    seen = {}
    layer.register_forward_hook(
        lambda _, inputs, output: seen.update(x=inputs[0][:, 0], h=output[:, 0])
    )
    images = torch.randn(6, 3, 32, 32)
    with torch.no_grad():
        fused = model.eval()(images)
    terms = branch_outputs(model, {name: layer}, [images])[name]
    x = seen["x"].double()
    w, b = layer.base.weight.double(), layer.base.bias.double()
    f = x @ w.T + b
    expected = {PRETRAINED: f}
    for term, branch, source in ((PARALLEL, layer.parallel, x), (SEQUENTIAL, layer.sequential, f)):
        if branch is None:
            continue
        code = source @ branch.down.weight.double().T
        code = code + branch.down.bias.double() if bias else code
        out = code @ branch.up.weight.double().T
        expected[term] = 0.5 * (out + branch.up.bias.double() if bias else out)
    assert list(terms) == list(expected)
    for term, value in expected.items():
        torch.testing.assert_close(terms[term].double(), value, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(sum(terms.values()), seen["h"], atol=1e-5, rtol=1e-5)
    # Looked at, the model is as it was.
    assert layer.fused
    assert not layer.base._forward_hooks
    with torch.no_grad():
        torch.testing.assert_close(model(images), fused, rtol=0, atol=0)


def test_batches_are_joined_in_order_and_hooks_go_when_the_model_fails() -> None:
    model = build_architecture("vit_mini", {})
    inject(model, "hydra", head=())
    layers = dict(adapters(model))
    images = torch.randn(5, 3, 32, 32)
    whole = branch_outputs(model, layers, [images])
    parts = branch_outputs(model, layers, images.split(2))
    assert len(whole) == 10
    for name, terms in whole.items():
        assert terms[PRETRAINED].shape == (5, 128)
        torch.testing.assert_close(parts[name][PRETRAINED], terms[PRETRAINED])
    with pytest.raises(AssertionError):
        branch_outputs(model, layers, [torch.randn(2, 3, 31, 31)])
    for layer in layers.values():
        assert layer.fused
        assert not layer.base._forward_hooks
