"""Compiled blocks on a GPU: whole graphs, kernels and CUDA graphs against eager float64.

The same tests run on a CPU, mostly eager and never with kernels, which proves the tests alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from devices import DEVICES
from torch import Tensor, nn
from torch.nn import functional as F

import hydra_peft
from hydra_peft.adapters.low_rank import LowRankLinear
from hydra_peft.backbones.architectures import build_architecture
from hydra_peft.training.compiling import compile_blocks
from hydra_peft.training.devices import exact_float32

#: a device, and how its code is run; CUDA graphs are of GPUs alone
ON_CUDA = [
    pytest.param("cuda", way, id=f"cuda-{way}", marks=pytest.mark.gpu)
    for way in ("eager", "compiled", "graphs")
]
WAYS = [pytest.param("cpu", "eager", id="cpu"), *ON_CUDA]
DTYPES = [torch.float32, torch.bfloat16, torch.float16]
#: allowed distance from float64 in units of the last place
ULPS = {torch.float32: 64, torch.bfloat16: 4, torch.float16: 4}


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    torch._dynamo.reset()
    with exact_float32():
        yield
    torch._dynamo.reset()


def options(device: str, way: str) -> dict[str, Any]:
    """Return torch.compile's arguments: a break in the graph is an error."""
    if device == "cpu":
        return {"fullgraph": True, "backend": "eager"}
    graphs = {"mode": "reduce-overhead", "dynamic": False} if way == "graphs" else {}
    return {"fullgraph": True, **graphs}


def layer_of(width_in: int, width_out: int, device: str, *, bias: bool = True) -> LowRankLinear:
    base = nn.Linear(width_in, width_out, bias=bias)
    layer = LowRankLinear(base, rank_parallel=2, rank_sequential=3, scale=1.5, bias=bias)
    for _, parameter in layer.adapter_parameters():
        nn.init.normal_(parameter, std=0.3)
    return layer.to(device)


def values(call: Callable[[Tensor], Tensor], layer: nn.Module, x: Tensor) -> list[Tensor]:
    """Return output, input gradient and gradients of the branches, as they are after this call."""
    x = x.detach().clone().requires_grad_()
    layer.zero_grad(set_to_none=True)
    out = call(x)
    out.float().square().sum().backward()
    trained = [p.grad for p in layer.parameters() if p.requires_grad]
    return [t.detach().double().clone() for t in (out, x.grad, *trained)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("device", "way"), WAYS)
def test_the_operation_and_its_gradients_against_float64(
    device: str, way: str, dtype: torch.dtype
) -> None:
    layer = layer_of(64, 48, device)
    called = layer if way == "eager" else torch.compile(layer, **options(device, way))
    # CUDA graphs: the first calls warm up and record, only then is replayed.
    batches = [torch.randn(2, 50, 64, device=device) for _ in range(4 if way == "graphs" else 2)]
    for x in batches:
        if way == "graphs":
            torch.compiler.cudagraph_mark_step_begin()
        with torch.autocast(device, dtype, enabled=dtype != torch.float32):
            ours = values(called, layer, x)
    layer.double().fused = False
    for our, exact in zip(ours, values(layer, layer, batches[-1].double()), strict=True):
        error = float((our - exact).norm() / exact.norm())
        assert error < ULPS[dtype] * torch.finfo(dtype).eps


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", DTYPES[1:])
@pytest.mark.parametrize(("device", "way"), WAYS)
def test_small_updates_survive_half_precision_when_compiled(
    device: str, way: str, dtype: torch.dtype, bias: bool
) -> None:
    """A compiler that takes the last product apart rounds it before the update is added."""
    layer = layer_of(256, 512, device, bias=bias)
    x = torch.randn(1024, 256, device=device)
    called = layer if way == "eager" else torch.compile(layer, **options(device, way))

    def change(call: Callable[[Tensor], Tensor], images: Tensor, half: bool) -> Tensor:
        outs = []
        for scale in (size, 0.0):
            for branch in (layer.parallel, layer.sequential):
                branch.up.weight.data.copy_(scale * ups[branch].to(branch.up.weight.dtype))
                if bias:
                    branch.up.bias.data.zero_()
            # CUDA graphs: the first calls warm up and record, only then is replayed.
            for _ in range(3 if way == "graphs" else 1):
                if way == "graphs":
                    torch.compiler.cudagraph_mark_step_begin()
                with torch.autocast(device, dtype, enabled=half):
                    # With gradients, since without them weights may be folded.
                    out = call(images).detach().double().clone()
            outs.append(out)
        return outs[0] - outs[1]

    ups = {b: b.up.weight.detach().clone() for b in (layer.parallel, layer.sequential)}
    size, plain = 1.0, layer.three_branches
    layer.double()
    full = change(plain, x.double(), False)
    size = 1e-4 * float(plain(x.double()).detach().norm() / full.norm())
    true = change(plain, x.double(), False)
    layer.float()
    share = float((change(called, x, True) * true).sum() / true.square().sum())
    assert share == pytest.approx(1, abs=0.05)


def adapted(device: str) -> nn.Module:
    torch.manual_seed(0)
    model = build_architecture("vit_mini", {"depth": 2})
    model.reset_classifier(3)
    hydra_peft.inject(model, "hydra")
    for parameter in model.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.02)
    return model.train().to(device)


def losses(model: nn.Module, device: str, steps: int) -> tuple[list[float], Tensor]:
    """Train some steps, after two on a smaller batch too; return losses and then predictions."""
    torch.manual_seed(1)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.1)
    found = []
    for step in range(steps):
        images = torch.randn(3 if step == 2 else 4, 3, 32, 32).to(device)
        labels = torch.randint(0, 3, (len(images),)).to(device)
        loss = F.cross_entropy(model(images), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    with torch.no_grad():
        return found, model.eval()(torch.ones(4, 3, 32, 32, device=device)).clone()


@pytest.mark.parametrize(
    ("device", "way"),
    # On a CPU test_compiling.py has the quick one.
    [pytest.param("cpu", "compiled", id="cpu", marks=pytest.mark.long), *ON_CUDA[1:]],
)
def test_compiled_blocks_train_as_eager_ones(
    device: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a CPU one batch size: for the second all would be compiled again.
    steps = 2 if device == "cpu" else 6
    expected, logits = losses(adapted(device), device, steps)
    original = nn.Module.compile

    def whole(module: nn.Module, **asked: Any) -> None:
        assert (asked.get("mode") == "reduce-overhead") == (way == "graphs")
        original(module, **{**asked, **options(device, way)})

    monkeypatch.setattr(nn.Module, "compile", whole)
    model = adapted(device)
    assert compile_blocks(model, cuda_graph=way == "graphs") == "2 blocks of blocks"
    found, ours = losses(model, device, steps)
    assert found == pytest.approx(expected, rel=1e-3)
    torch.testing.assert_close(ours, logits, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("device", DEVICES)
def test_merged_is_the_same_model_and_unmerged_has_its_bits(device: str) -> None:
    model = adapted(device).eval()
    images = torch.randn(4, 3, 32, 32, device=device)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with torch.no_grad():
        expected = model(images)
        hydra_peft.merge(model)
        torch.testing.assert_close(model(images), expected, rtol=1e-4, atol=1e-4)
        hydra_peft.unmerge(model)
        assert torch.equal(model(images), expected)
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("device", DEVICES)
def test_float32_is_exact_where_torch_would_allow_tf32(device: str) -> None:
    convolution = nn.Conv2d(3, 64, kernel_size=16, stride=16).to(device)
    images = torch.randn(8, 3, 64, 64, device=device)
    exact = convolution.double()(images.double()).detach()
    ours = convolution.float()(images).detach().double()
    assert float((ours - exact).norm() / exact.norm()) < 1e-5  # TF32: 3e-4
    with exact_float32():
        assert not torch.backends.cuda.matmul.allow_tf32
        assert not torch.backends.cudnn.allow_tf32
