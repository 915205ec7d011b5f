"""The fused operation: values and gradients against float64 autograd of the plain formula."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import torch
from devices import DEVICES
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

import hydra_peft
from hydra_peft.adapters.low_rank import LowRankLinear
from hydra_peft.adapters.low_rank_update import low_rank_linear

Parts = tuple[Tensor | None, ...]


def plain(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    down: Tensor,
    shift: Tensor | None,
    up: Tensor,
    offset: Tensor | None,
    mask: Tensor | None,
) -> Tensor:
    code = x @ down.T + (0 if shift is None else shift)
    code = code if mask is None else mask * code
    return (
        x @ weight.T
        + (0 if bias is None else bias)
        + code @ up.T
        + (0 if offset is None else offset)
    )


def draw(
    shape: tuple[int, ...],
    k: int,
    o: int,
    r: int,
    *,
    bias: bool = True,
    shift: bool = True,
    offset: bool = True,
    mask: bool = False,
) -> Parts:
    def leaf(*size: int) -> Tensor:
        return torch.randn(*size, dtype=torch.float64).requires_grad_()

    return (
        leaf(*shape, k),
        leaf(o, k),
        leaf(o) if bias else None,
        leaf(r, k),
        leaf(r) if shift else None,
        leaf(o, r),
        leaf(o) if offset else None,
        torch.bernoulli(torch.full((*shape, r), 0.7, dtype=torch.float64)) / 0.7 if mask else None,
    )


def gradients(function: Callable[..., Tensor], parts: Parts, upstream: Tensor) -> list[Tensor]:
    wanted = [part for part in parts if part is not None and part.requires_grad]
    return list(torch.autograd.grad(function(*parts), wanted, upstream))


@settings(max_examples=60, deadline=None)
@given(
    shape=st.sampled_from([(1,), (4,), (2, 3), (2, 1, 3), (0,)]),
    k=st.integers(1, 7),
    o=st.integers(1, 7),
    r=st.integers(1, 4),
    bias=st.booleans(),
    shift=st.booleans(),
    offset=st.booleans(),
    mask=st.booleans(),
    frozen=st.sets(st.integers(0, 6)),
    seed=st.integers(0, 2**20),
)
def test_values_and_gradients_equal_the_plain_formula(
    shape: tuple[int, ...],
    k: int,
    o: int,
    r: int,
    bias: bool,
    shift: bool,
    offset: bool,
    mask: bool,
    frozen: set[int],
    seed: int,
) -> None:
    torch.manual_seed(seed)
    parts = draw(shape, k, o, r, bias=bias, shift=shift, offset=offset, mask=mask)
    for i in frozen:
        if parts[i] is not None:
            parts[i].requires_grad_(False)
    torch.testing.assert_close(low_rank_linear(*parts), plain(*parts), rtol=0, atol=1e-12)
    if any(part is not None and part.requires_grad for part in parts):
        upstream = torch.randn(*shape, o, dtype=torch.float64)
        ours = gradients(low_rank_linear, parts, upstream)
        for our, expected in zip(ours, gradients(plain, parts, upstream), strict=True):
            torch.testing.assert_close(our, expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize("mask", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_first_and_second_derivatives_numerically(bias: bool, mask: bool) -> None:
    parts = draw((2, 3), 4, 3, 2, bias=bias, shift=bias, offset=bias, mask=mask)
    assert torch.autograd.gradcheck(low_rank_linear, parts)
    assert torch.autograd.gradgradcheck(low_rank_linear, parts)


def test_inputs_may_be_of_any_layout() -> None:
    x, *rest = draw((3, 4), 5, 6, 2)
    turned = torch.randn(5, 4, 3, dtype=torch.float64).permute(2, 1, 0).requires_grad_()
    every_other = torch.randn(6, 4, 10, dtype=torch.float64)[::2, :, ::2].requires_grad_()
    expanded = torch.randn(1, 1, 5, dtype=torch.float64).expand(3, 4, 5).requires_grad_()
    upstream = torch.randn(6, 4, 3, dtype=torch.float64).permute(2, 1, 0)
    for other in (turned, every_other, expanded):
        assert not other.is_contiguous()
        assert other.shape == x.shape
        ours = gradients(low_rank_linear, (other, *rest), upstream)
        for our, expected in zip(ours, gradients(plain, (other, *rest), upstream), strict=True):
            torch.testing.assert_close(our, expected, rtol=0, atol=1e-12)


def test_torch_func() -> None:
    x, weight, bias, down, shift, up, offset, _ = (
        None if p is None else p.detach() for p in draw((4,), 5, 3, 2)
    )
    many = torch.randn(6, 2, 5, dtype=torch.float64)

    def loss(function: Callable[..., Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
        return lambda d, u: function(x, weight, bias, d, shift, u, offset, None).square().sum()

    def twice(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        return torch.func.grad(lambda *a: torch.func.grad(function)(*a).square().sum())

    for transform in (torch.func.grad, torch.func.jacrev, twice):
        ours, expected = transform(loss(low_rank_linear)), transform(loss(plain))
        torch.testing.assert_close(ours(down, up), expected(down, up), rtol=1e-12, atol=1e-12)
    # many runs over one frozen weight
    ours = torch.func.vmap(torch.func.grad(loss(low_rank_linear)), (0, None))(many, up)
    expected = torch.stack([torch.func.grad(loss(plain))(one, up) for one in many])
    torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-12)


def adapted(width_in: int, width_out: int, **options: object) -> LowRankLinear:
    options = {"rank_parallel": 2, "rank_sequential": 3, "scale": 1.5, **options}
    layer = LowRankLinear(nn.Linear(width_in, width_out), **options)
    for _, parameter in layer.adapter_parameters():
        nn.init.normal_(parameter, std=0.3)
    return layer


def layer_gradients(
    call: Callable[[Tensor], Tensor], x: Tensor, layer: LowRankLinear | None = None
) -> list[Tensor]:
    layer = layer or call
    x = x.detach().requires_grad_()
    torch.manual_seed(7)  # dropout
    out = call(x)
    out.float().square().sum().backward()
    found = [out.detach(), x.grad, *(p.grad.clone() for _, p in layer.adapter_parameters())]
    layer.zero_grad()
    return found


RANKS = [(2, 3), (2, 0), (0, 3)]


@pytest.mark.parametrize("ranks", RANKS)
@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("bias", [False, True])
def test_layer_equals_three_branches(ranks: tuple[int, int], dropout: float, bias: bool) -> None:
    layer = adapted(
        6, 5, rank_parallel=ranks[0], rank_sequential=ranks[1], dropout=dropout, bias=bias
    ).double()
    x = torch.randn(2, 7, 6, dtype=torch.float64)
    ours = layer_gradients(layer, x)
    layer.fused = False
    for our, expected in zip(ours, layer_gradients(layer, x), strict=True):
        torch.testing.assert_close(our, expected, rtol=0, atol=1e-11)


def test_the_frozen_layer_gets_no_gradient_and_the_first_input_none() -> None:
    layer = adapted(6, 5)
    x = torch.randn(3, 6)
    layer(x).sum().backward()
    assert layer.base.weight.grad is None
    assert layer.base.bias.grad is None
    assert x.grad is None


def test_what_is_kept_for_backward() -> None:
    """The input and the code; not the frozen layer's output nor another weight of its size."""
    layer = adapted(64, 32)
    kept: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        layer(torch.randn(100, 64, requires_grad=True))
    of_rows = sorted({t.shape[1] for t in kept if t.ndim == 2 and t.shape[0] == 100})
    assert of_rows == [5, 64]
    large = {t.data_ptr() for t in kept if t.numel() >= 32 * 64}
    assert len(large) == 2  # input and frozen weight


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("dtype", "allowed"),
    # in units of the last place; a float32 product that was TF32 would be off by thousands
    [(torch.float32, 64), (torch.bfloat16, 4), (torch.float16, 4)],
)
@pytest.mark.parametrize("ranks", RANKS)
def test_precisions_against_float64(
    device: str, dtype: torch.dtype, allowed: int, ranks: tuple[int, int]
) -> None:
    layer = adapted(48, 40, rank_parallel=ranks[0], rank_sequential=ranks[1]).to(device)
    x = torch.randn(64, 48, device=device)
    with torch.autocast(device, dtype, enabled=dtype != torch.float32):
        ours = layer_gradients(layer, x)
    assert ours[0].dtype == dtype
    exact = layer_gradients(layer.double(), x.double())
    steps = torch.finfo(dtype).eps
    for our, expected in zip(ours, exact, strict=True):
        error = (our.double() - expected).norm() / expected.norm()
        assert error < allowed * steps


@pytest.mark.parametrize("device", DEVICES)
def test_backward_inside_autocast_has_the_dtype_of_forward(device: str) -> None:
    """A model may switch autocast off for some layers, and loss.backward() be called inside it."""
    layer = adapted(48, 40).to(device)
    x = torch.randn(8, 48, device=device)

    def gradients_of(inside: bool) -> list[Tensor]:
        leaf = x.clone().requires_grad_()
        out = layer(leaf)
        with torch.autocast(device, torch.bfloat16, enabled=inside):
            out.backward(torch.ones_like(out))
        found = [leaf.grad, *(p.grad for _, p in layer.adapter_parameters())]
        layer.zero_grad()
        return found

    for inside, outside in zip(gradients_of(True), gradients_of(False), strict=True):
        # What leads to the operation's arguments, autograd differentiates as it always does.
        assert (inside - outside).norm() < 2e-2 * outside.norm()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_compiles_without_graph_breaks(device: str, precision: str) -> None:
    layer = adapted(12, 10, dropout=0.0).to(device)
    x = torch.randn(2, 5, 12, device=device)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")

    def call(function: Callable[[Tensor], Tensor]) -> list[Tensor]:
        layer.zero_grad()
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
            out = function(x)
        out.float().square().sum().backward()
        return [out.detach(), *(p.grad.clone() for _, p in layer.adapter_parameters())]

    error = 1e-5 if precision == "fp32" else 4 * torch.finfo(torch.bfloat16).eps
    for ours, expected in zip(call(compiled), call(layer), strict=True):
        assert (ours - expected).norm() < error * expected.norm()
    with torch.no_grad(), torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
        torch.testing.assert_close(compiled(x), layer(x))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_compiled_it_changes_nothing_in_place(precision: str) -> None:
    """torch 2.11 gives a function that returns what it has changed in place zero gradients."""
    calls: list[str] = []

    def backend(graph: torch.fx.GraphModule, _: object) -> Callable[..., object]:
        body = graph.get_submodule("fwd_body_0")
        assert isinstance(body, torch.fx.GraphModule)
        called = (node.target for node in body.graph.nodes if node.op.startswith("call_"))
        calls.extend(getattr(target, "__name__", str(target)) for target in called)
        return graph.forward

    layer = torch.compile(adapted(12, 10), fullgraph=True, backend=backend)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        layer(torch.randn(3, 12))
    assert calls.count("addmm") == 3  # of the code, of the update, and the frozen one
    assert not [name for name in calls if name.endswith("_") or name in ("iadd", "imul")]


def test_folding_follows_the_precision_of_float32_products_when_compiled() -> None:
    layer = adapted(12, 10)
    compiled, x = torch.compile(layer, fullgraph=True, backend="aot_eager"), torch.randn(5, 12)
    try:
        for setting in ("highest", "high", "highest"):
            torch.set_float32_matmul_precision(setting)
            with torch.no_grad():
                assert torch.equal(compiled(x), layer(x))
    finally:
        torch.set_float32_matmul_precision("highest")


def test_dropout_compiles_without_graph_breaks() -> None:
    torch._dynamo.reset()  # other tests' shapes count towards its limit
    layer = adapted(12, 10, dropout=0.5)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    out = compiled(torch.ones(2000, 12))
    layer.fused = False
    torch.testing.assert_close(out.mean(0), layer(torch.ones(2000, 12)).mean(0), rtol=0.2, atol=0.2)
    assert len(torch.unique(out[:, 0])) > 8  # each row has a mask of its own


def test_shapes_without_storage() -> None:
    with torch.device("meta"):
        layer = LowRankLinear(nn.Linear(8, 6), rank_parallel=2, rank_sequential=2)
        assert layer(torch.empty(3, 8)).shape == (3, 6)


def test_inputs_that_the_frozen_layer_refuses_are_refused_in_its_words() -> None:
    layer = adapted(6, 5, bias=False)
    dtypes = (torch.int64, torch.float16, torch.float64)
    refused = [torch.ones(2, 6, dtype=dtype) for dtype in dtypes]
    for x in (*refused, torch.ones(2, 7), torch.ones(()), [1.0] * 6):
        with pytest.raises((RuntimeError, TypeError)) as expected:
            layer.base(x)
        with pytest.raises(expected.type, match=re.escape(str(expected.value))):
            layer(x)


def test_inputs_of_other_layouts() -> None:
    layer, x = adapted(6, 5), torch.randn(4, 6)
    torch.testing.assert_close(layer(x.to_sparse()), layer(x))
    ragged = torch.nested.nested_tensor([x[:1], x[1:]], layout=torch.jagged)
    torch.testing.assert_close(layer(ragged).values(), layer(x))


@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning", "error::torch.jit.TracerWarning")
def test_torch_traces_and_exports_it() -> None:
    for dropout in (0.0, 0.5):
        layer = adapted(6, 5, dropout=dropout).double().eval()
        x, other = torch.randn(4, 6).double(), torch.randn(2, 3, 6).double()
        expected = layer.three_branches(x)
        traced, graph = torch.jit.trace(layer, x), torch.fx.symbolic_trace(layer)
        exported = torch.export.export(layer, (x,)).module()
        for call in (traced, graph, exported):
            torch.testing.assert_close(call(x), expected, rtol=0, atol=1e-12)
        for call in (traced, graph):
            torch.testing.assert_close(call(other), layer(other), rtol=0, atol=1e-12)


@pytest.mark.parametrize("method", ["lora", "seqlora", "hydra"])
def test_a_model_with_one_activation_in_two_places_is_exported(
    method: str, randomize: Callable[[nn.Module], None]
) -> None:
    """There torch.export gives another object each time that a module is asked for."""
    act = nn.ReLU()
    model = nn.Sequential(nn.Linear(6, 6), act, nn.Linear(6, 5), act, nn.Linear(5, 3)).double()
    hydra_peft.inject(model, method, targets=["0", "2"], head="4", rank=2)
    randomize(model.eval())
    x = torch.randn(4, 6, dtype=torch.float64)
    exported = torch.export.export(model, (x,)).module()
    torch.testing.assert_close(exported(x), model(x), rtol=0, atol=1e-12)


@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning", "ignore:.*batching rule")
def test_forward_mode_derivatives_are_those_of_reverse_mode() -> None:
    layer, x = adapted(6, 5).double(), torch.randn(4, 6).double()
    reverse = torch.func.jacrev(layer)(x)
    torch.testing.assert_close(torch.func.jacfwd(layer)(x), reverse, rtol=0, atol=1e-12)
    tangent = torch.randn_like(x)
    expected = torch.einsum("bobi,bi->bo", reverse, tangent)
    torch.testing.assert_close(torch.func.jvp(layer, (x,), (tangent,))[1], expected)
    with forward_ad.dual_level():
        out = layer(forward_ad.make_dual(x, tangent))
        torch.testing.assert_close(forward_ad.unpack_dual(out).tangent, expected)
    names, parameters = zip(*layer.named_parameters(), strict=True)

    def loss(*values: Tensor) -> Tensor:
        called = torch.func.functional_call(layer, dict(zip(names, values, strict=True)), x)
        return called.square().sum()

    numbers = tuple(range(len(names)))
    hessian = torch.func.jacfwd(torch.func.jacrev(loss, numbers), numbers)(*parameters)
    expected = torch.func.jacrev(torch.func.jacrev(loss, numbers), numbers)(*parameters)
    torch.testing.assert_close(hessian, expected, rtol=0, atol=1e-9)


def test_modes_that_count_products_see_each() -> None:
    layer, x = LowRankLinear(nn.Linear(6, 5), rank_parallel=2), torch.randn(4, 6).requires_grad_()
    counts = {}
    for layer.fused in (True, False):
        with FlopCounterMode(display=False) as counter:
            layer(x).sum().backward()
        counts[layer.fused] = counter.get_total_flops()
    frozen, factors = 4 * 6 * 5, 4 * 2 * (6 + 5)
    # forward, and backward for the input and the two factors, whose product with x is another
    assert counts[True] == counts[False] == 2 * (2 * frozen + 3 * factors)


@pytest.mark.parametrize("part", ["base", "parallel", "parallel.down", "sequential.up"])
def test_hooks_on_what_it_consists_of_are_called(part: str) -> None:
    layer, x = adapted(6, 5).double(), torch.randn(4, 6).double()
    seen: list[Tensor] = []
    handle = layer.get_submodule(part).register_forward_hook(lambda _, __, out: seen.append(out))
    for grad in (True, False):
        with torch.set_grad_enabled(grad):
            torch.testing.assert_close(layer(x), layer.three_branches(x))
    assert len(seen) == 4
    if part == "base":
        assert torch.equal(seen[0], layer.base(x))
    handle.remove()
    layer(x)
    assert len(seen) == 4 + (part == "base")


def test_a_forward_put_onto_what_it_consists_of_is_called() -> None:
    layer, x = adapted(6, 5), torch.randn(4, 6)
    before, plain = layer(x), layer.sequential.forward
    layer.sequential.forward = lambda f: plain(f) + 1
    torch.testing.assert_close(layer(x), before + layer.scale)


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
def test_normed_weights_of_a_branch_are_computed_anew_for_each_call() -> None:
    layer, x = adapted(6, 5), torch.randn(4, 6)
    torch.nn.utils.weight_norm(layer.parallel.down)
    with torch.no_grad():
        layer.parallel.down.weight_g.mul_(2)
        layer.parallel.down.bias.zero_()
        out = layer(x)
        torch.testing.assert_close(out, layer.three_branches(x))
    (gradient,) = torch.autograd.grad(layer(x).square().sum(), layer.parallel.down.weight_g)
    assert gradient.abs().min() > 0


def test_a_frozen_layer_with_a_forward_of_its_own_is_called() -> None:
    class Twice(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * super().forward(x)

    layer, x = LowRankLinear(Twice(6, 5), rank_parallel=2), torch.randn(3, 6)
    assert not layer.fused
    torch.testing.assert_close(layer(x), layer.base(x))  # the up-projection is zero yet
    with pytest.raises(TypeError, match="Twice"):
        layer.merged()


def test_folded_weight_under_autocast_is_of_full_precision() -> None:
    layer = adapted(64, 48)
    weight, bias = layer.weight, layer.bias
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer.weight, weight)
        assert torch.equal(layer.bias, bias)


def test_gradient_checkpointing() -> None:
    layer = adapted(6, 5, dropout=0.5)
    x = torch.randn(4, 6)
    expected = layer_gradients(layer, x)
    again = layer_gradients(lambda x: checkpoint(layer, x, use_reentrant=False), x, layer)
    for our, their in zip(again, expected, strict=True):
        assert torch.equal(our, their)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("frozen", [torch.float32, torch.bfloat16])
def test_small_updates_survive_bfloat16(device: str, frozen: torch.dtype) -> None:
    """Updates of 1e-4 of the output's size act on it as in float64, to 5%.

    Each element of a bfloat16 output moves by whole units in the last place, 40 times such an
    update, or not at all; so what is compared is the change along the true change.
    """
    torch.manual_seed(3)
    layer = LowRankLinear(nn.Linear(256, 512), rank_parallel=2, rank_sequential=2).to(device)
    for parameter in layer.base.parameters():  # as a checkpoint may hold them
        parameter.data = parameter.data.to(frozen).float()
    for name, parameter in layer.adapter_parameters():
        nn.init.normal_(parameter, std=0.02 if "down" in name else 1.0)
    x = torch.randn(1024, 256, device=device)

    def change(fused: bool, dtype: torch.dtype) -> Tensor:
        layer.fused = fused
        layer.to(torch.float64 if dtype == torch.float64 else torch.float32)
        outs = []
        for scale in (1.0, 0.0):
            layer.scale = scale * size
            with torch.no_grad(), torch.autocast(device, dtype, enabled=dtype != torch.float64):
                outs.append(layer(x.to(layer.base.weight.dtype)).double())
        return outs[0] - outs[1]

    size = 1.0
    full = change(False, torch.float64)
    size = 1e-4 * float(layer.base(x.double()).norm() / full.norm())
    true = change(False, torch.float64)
    share = float((change(True, torch.bfloat16) * true).sum() / true.square().sum())
    assert share == pytest.approx(1, abs=0.05)
    # Adding outputs that have been rounded, as the plain branches do, loses such updates.
    lost = float((change(False, torch.bfloat16) * true).sum() / true.square().sum())
    assert abs(lost) < 0.5
