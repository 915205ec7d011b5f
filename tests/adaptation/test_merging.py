"""Merging and unmerging whole models, stock timm included."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.utils import prune, weight_norm

import hydra_peft
from hydra_peft import UserError
from hydra_peft.backbones.architectures import build_architecture

Fill = Callable[[nn.Module], None]
MODELS = {"vit_mini": 32, "vit_base_patch16_224.orig_in21k": 224}
#: blocks of ViT-B/16; all twelve are alike, and take four times as long
DEPTH = 2


@pytest.fixture(scope="module", params=list(MODELS))
def backbone(request: pytest.FixtureRequest) -> tuple[nn.Module, int]:
    torch.manual_seed(3)
    model = build_architecture(
        request.param, {} if request.param == "vit_mini" else {"depth": DEPTH}
    )
    model.reset_classifier(10)
    return model.eval(), MODELS[request.param]


@pytest.mark.parametrize("method", ["lora", "seqlora", "hydra"])
@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_merged_logits_equal_unmerged(
    backbone: tuple[nn.Module, int], method: str, dtype: torch.dtype, limit: float
) -> None:
    model = copy.deepcopy(backbone[0]).to(dtype)
    x = torch.randn(1, 3, backbone[1], backbone[1], dtype=dtype)
    with torch.no_grad():
        untouched = model(x)
        hydra_peft.inject(model, method, scale=4.5, bias=True)
        for parameter in hydra_peft.trainable_parameters(model).adapter.values():
            nn.init.normal_(parameter, std=0.02)
        unmerged = model(x)
        hydra_peft.merge(model)
        merged = model(x)
    difference = (merged - unmerged).abs().max().item()
    assert difference < limit
    # The branches must matter, or the comparison above says nothing.
    assert (unmerged - untouched).abs().max().item() > 100 * max(difference, 1e-4)


def test_merged_file_loads_into_stock_timm(backbone: tuple[nn.Module, int], tmp_path: Path) -> None:
    model, size = copy.deepcopy(backbone[0]), backbone[1]
    keys = list(model.state_dict())
    hydra_peft.inject(model, "hydra", scale=4.5)
    for parameter in hydra_peft.trainable_parameters(model).adapter.values():
        nn.init.normal_(parameter, std=0.02)
    hydra_peft.merge(model)
    assert sorted(model.state_dict()) == sorted(keys)
    assert {type(m).__module__.split(".")[0] for m in model.modules()} <= {"timm", "torch"}
    save_file(model.state_dict(), tmp_path / "merged.safetensors")
    name = "vit_base_patch16_224" if size == 224 else "vit_tiny_patch16_224"
    shape = {"depth": DEPTH}
    if size == 32:
        from hydra_peft.backbones.vit_mini import VIT_MINI

        shape = VIT_MINI
    stock = timm.create_model(name, num_classes=10, **shape).eval()
    stock.load_state_dict(load_file(tmp_path / "merged.safetensors"), strict=True)
    x = torch.randn(2, 3, size, size)
    with torch.no_grad():
        assert torch.equal(stock(x), model(x))


def test_unmerge_restores_bits_and_adapters(tiny: nn.Module, randomize: Fill) -> None:
    hydra_peft.inject(tiny, "hydra", rank=2, scale=3.0)
    randomize(tiny)
    before = {n: t.clone() for n, t in tiny.state_dict().items()}
    for _ in range(3):
        hydra_peft.merge(tiny)
        assert not any("parallel" in name for name in tiny.state_dict())
        hydra_peft.unmerge(tiny)
    after = tiny.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[n], t) for n, t in before.items())
    assert tiny(torch.randn(2, 12)).requires_grad


def test_merge_survives_deepcopy_and_mode_changes(tiny: nn.Module, randomize: Fill) -> None:
    hydra_peft.inject(tiny, "lora", rank=2, dropout=0.5)
    randomize(tiny)
    x = torch.randn(3, 12)
    expected = tiny.eval()(x)
    hydra_peft.merge(tiny)
    other = copy.deepcopy(tiny)
    other.train()
    torch.testing.assert_close(other(x), expected)
    hydra_peft.unmerge(other)
    assert other.blocks[0]["attn"]["proj"].training
    torch.testing.assert_close(other.eval()(x), expected)
    assert "parallel" not in "".join(tiny.state_dict())


def test_a_tie_that_merging_parts_is_told(
    tiny: nn.Module, randomize: Fill, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = (block["attn"]["proj"] for block in tiny.blocks)
    second.weight = first.weight
    hydra_peft.inject(tiny, "lora", targets=["attn.proj"])
    randomize(tiny)
    hydra_peft.merge(tiny)
    told = "'blocks.0.attn.proj.weight' is tied to 'blocks.1.attn.proj.weight' and, merged, is not"
    assert [told in record.getMessage() for record in caplog.records] == [True]


@pytest.mark.parametrize("method", ["vera", "fact_tk"])
def test_what_adapters_share_is_no_tie(
    tiny: nn.Module, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    hydra_peft.inject(tiny, method, rank=2, targets=["mlp.fc1", "mlp.fc2"])
    hydra_peft.merge(tiny)
    assert not caplog.records


def test_a_layer_that_is_shared_stays_shared(
    tiny: nn.Module, randomize: Fill, caplog: pytest.LogCaptureFixture
) -> None:
    tiny.blocks[1]["attn"]["proj"] = tiny.blocks[0]["attn"]["proj"]
    hydra_peft.inject(tiny, "lora", targets=["attn.proj"])
    randomize(tiny)
    hydra_peft.merge(tiny)
    assert tiny.blocks[1]["attn"]["proj"] is tiny.blocks[0]["attn"]["proj"]
    assert not caplog.records


def test_a_merged_model_takes_no_state_of_one_with_adapters(
    tiny: nn.Module, randomize: Fill
) -> None:
    hydra_peft.inject(tiny, "lora", rank=2)
    randomize(tiny)
    other, x = copy.deepcopy(tiny), torch.randn(2, 12)
    randomize(other)
    expected, before = other(x), tiny(x)
    hydra_peft.merge(tiny)
    for model, prefix in ((copy.deepcopy(tiny), ""), (nn.Sequential(tiny), "0.")):
        state = {f"{prefix}{name}": tensor for name, tensor in other.state_dict().items()}
        with pytest.raises(UserError, match="merged, and the state dict is of one that is not"):
            model.load_state_dict(state, strict=False)
    with pytest.raises(UserError, match="merged, and the state dict is of one that is not"):
        tiny.load_state_dict(hydra_peft.adapter_state_dict(other), strict=False)
    hydra_peft.unmerge(tiny)
    assert torch.equal(tiny(x), before)
    tiny.load_state_dict(other.state_dict())
    assert torch.equal(tiny(x), expected)


@pytest.mark.parametrize("method", ["lora", "hydra", "dora", "ssf", "ia3", "repadapter"])
def test_a_model_with_adapters_takes_no_state_of_a_plain_or_merged_one(
    tiny: nn.Module, randomize: Fill, method: str
) -> None:
    plain = copy.deepcopy(tiny)
    hydra_peft.inject(tiny, method, targets=["mlp.fc2"])
    other = copy.deepcopy(tiny)
    randomize(other)
    before = copy.deepcopy(tiny.state_dict())
    own = hydra_peft.adapter_state_dict(other)
    hydra_peft.merge(other)
    for state in (plain.state_dict(), other.state_dict()):
        with pytest.raises(UserError, match=r"load it before inject\(\), or into the"):
            tiny.load_state_dict(state, strict=False)
    assert all(torch.equal(tensor, before[name]) for name, tensor in tiny.state_dict().items())
    tiny.load_state_dict(own, strict=False)
    hydra_peft.unmerge(other)
    x = torch.randn(2, 12)
    assert torch.equal(tiny.eval()(x), other.eval()(x))


def test_refuses_results_that_are_not_finite(tiny: nn.Module, randomize: Fill) -> None:
    hydra_peft.inject(tiny, "hydra", rank=2)
    randomize(tiny)
    tiny.blocks[1]["mlp"]["fc2"].parallel.up.weight.data[0, 0] = float("inf")
    with pytest.raises(UserError, match=r"blocks\.1\.mlp\.fc2 .* nothing was merged"):
        hydra_peft.merge(tiny)
    assert type(tiny.blocks[0]["attn"]["proj"]).__name__ == "LowRankLinear"


def test_refuses_overflow_of_the_layers_own_dtype() -> None:
    model = nn.Sequential(nn.Linear(4, 4)).half()
    hydra_peft.inject(model, "lora", targets=["0"], rank=1, scale=100.0, head=())
    for parameter in hydra_peft.trainable_parameters(model).adapter.values():
        nn.init.constant_(parameter, 200.0)
    with pytest.raises(UserError, match=r"overflow torch\.float16"):
        hydra_peft.merge(model)


def test_misuse_is_one_sentence(tiny: nn.Module) -> None:
    with pytest.raises(UserError, match="carries no adapter"):
        hydra_peft.merge(tiny)
    hydra_peft.inject(tiny, "lora")
    with pytest.raises(UserError, match="not merged"):
        hydra_peft.unmerge(tiny)
    hydra_peft.merge(tiny)
    with pytest.raises(UserError, match="merged already"):
        hydra_peft.merge(tiny)


def test_linear_probing_has_nothing_to_merge(tiny: nn.Module) -> None:
    hydra_peft.inject(tiny, "linear")
    assert hydra_peft.merge(tiny) == []


CASTS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "none": lambda model: model,
    "double": lambda model: model.double(),
    "bfloat16": lambda model: model.bfloat16(),
    "half": lambda model: model.half(),
    "bfloat16 and back": lambda model: model.bfloat16().float(),
    "half, then double": lambda model: model.half().double(),
    "other parameters": lambda model: (
        model.load_state_dict({n: t.double() for n, t in model.state_dict().items()}, assign=True)
        and model
    ),
}


@pytest.mark.parametrize("cast", CASTS.values(), ids=CASTS)
def test_what_merging_hides_follows_casts(cast: Callable[[nn.Module], nn.Module]) -> None:
    model = nn.Sequential(nn.Linear(9, 7), nn.Linear(7, 3))
    hydra_peft.inject(model, "hydra", targets=["0"], rank=2, scale=3.0, head="1")
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    state = {name: t.double() for name, t in model.state_dict().items()}
    hydra_peft.merge(model)
    model = cast(model)
    dtype = model[0].weight.dtype
    assert {t.dtype for t in hydra_peft.adapter_state_dict(model).values()} == {dtype}
    hydra_peft.unmerge(model)
    assert {t.dtype for t in model.state_dict().values()} == {dtype}
    x = torch.randn(4, 9, dtype=dtype)

    def linear(name: str, x: torch.Tensor) -> torch.Tensor:
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    features = linear("0.base", x.double())
    parallel = linear("0.parallel.up", linear("0.parallel.down", x.double()))
    sequential = linear("0.sequential.up", linear("0.sequential.down", features))
    expected = linear("1", features + 3.0 * (parallel + sequential))
    coarse = cast not in (CASTS["none"], CASTS["double"], CASTS["other parameters"])
    limit = 0.05 if coarse else 1e-5
    assert (model(x).double() - expected).abs().max() < limit * expected.abs().max()


def test_a_model_saved_while_merged_and_cast_fits_the_cast_backbone(
    tiny: nn.Module, tmp_path: Path, randomize: Fill
) -> None:
    backbone = copy.deepcopy(tiny).bfloat16()
    hydra_peft.inject(tiny, "lora", rank=2)
    randomize(tiny)
    hydra_peft.merge(tiny)
    hydra_peft.save_adapter(tiny.bfloat16(), tmp_path)
    hydra_peft.load_adapter(backbone, tmp_path)
    hydra_peft.unmerge(tiny)
    x = torch.randn(2, 12, dtype=torch.bfloat16)
    assert torch.equal(backbone(x), tiny(x))


def _load(model: nn.Module) -> None:
    model.load_state_dict({n: t + 1e-6 for n, t in model.state_dict().items()})


def _assign(model: nn.Module) -> None:
    model.load_state_dict({n: t + 1e-6 for n, t in model.state_dict().items()}, assign=True)


def _train(model: nn.Module) -> None:
    model.requires_grad_(True)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    model(torch.randn(8, 12)).square().sum().backward()
    optimizer.step()
    model.requires_grad_(False)


def _load_halves(model: nn.Module) -> None:
    model.bfloat16().load_state_dict({n: 1.02 * t for n, t in model.state_dict().items()})


def _break(model: nn.Module) -> None:
    model.blocks[0]["attn"]["proj"].weight.data[3, 4] = float("nan")


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
def test_a_merged_layer_that_was_parametrized_is_called_that(tiny: nn.Module) -> None:
    hydra_peft.inject(tiny, "lora")
    hydra_peft.merge(tiny)
    layer = tiny.get_submodule("blocks.0.attn.proj")
    said = r"'blocks\.0\.attn\.proj\.weight' is pruned, weight-normalised or parametrized since"
    prune.identity(layer, "weight")
    with pytest.raises(UserError, match=said):
        hydra_peft.unmerge(tiny)
    prune.remove(layer, "weight")
    hydra_peft.unmerge(tiny)
    hydra_peft.merge(tiny)
    weight_norm(tiny.get_submodule("blocks.0.attn.proj"))
    with pytest.raises(UserError, match=said):
        hydra_peft.unmerge(tiny)


@pytest.mark.parametrize("change", [_load, _assign, _train, _load_halves, _break])
def test_weights_that_changed_while_merged_are_not_mixed_with_the_adapter(
    tiny: nn.Module, tmp_path: Path, randomize: Fill, change: Callable[[nn.Module], None]
) -> None:
    hydra_peft.inject(tiny, "hydra", rank=2)
    randomize(tiny)
    hydra_peft.merge(tiny)
    before = copy.deepcopy(tiny.state_dict())
    change(tiny)
    message = r"blocks\.0\.attn\.proj does not hold what merge\(\) wrote any more"
    with pytest.raises(UserError, match=message):
        hydra_peft.unmerge(tiny)
    with pytest.raises(UserError, match=message):
        hydra_peft.save_adapter(tiny, tmp_path)
    tiny.load_state_dict(before)
    hydra_peft.unmerge(tiny)


@pytest.mark.parametrize("method", ["lora", "hydra", "dora", "ssf"])
@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_weights_of_few_digits_loaded_while_merged_are_not_mixed_either(
    tiny: nn.Module, tmp_path: Path, method: str, half: torch.dtype
) -> None:
    """A checkpoint in half precision, used in float32: its digits say nothing of a cast."""
    with torch.no_grad():
        for parameter in tiny.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    checkpoint = copy.deepcopy(tiny).to(half)
    other = {n: t.float() for n, t in checkpoint.state_dict().items()}
    tiny.load_state_dict(other)
    hydra_peft.inject(tiny, method)
    with torch.no_grad():
        for parameter in hydra_peft.trainable_parameters(tiny):
            parameter += 1e-3 * torch.randn_like(parameter)
    hydra_peft.merge(tiny)
    tiny.load_state_dict(other)
    with pytest.raises(UserError, match="does not hold what merge"):
        hydra_peft.unmerge(tiny)
    with pytest.raises(UserError, match="does not hold what merge"):
        hydra_peft.save_adapter(tiny, tmp_path)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_small_changes_while_merged_are_no_rounding(
    tiny: nn.Module, randomize: Fill, dtype: torch.dtype
) -> None:
    """Each value within what one digit of bfloat16 says, and not what a cast makes of it."""
    model = tiny.to(dtype)
    hydra_peft.inject(model, "hydra", rank=2)
    randomize(model)
    hydra_peft.merge(model)
    before = copy.deepcopy(model.state_dict())
    model.float()
    changes = [lambda t: 1.003 * t.float(), lambda t: (1.003 * t.float()).bfloat16().float()]
    changes += [lambda t: t.float() + 1e-3 * t.abs() * torch.randn_like(t)]
    for change in changes:
        model.load_state_dict({name: change(tensor) for name, tensor in before.items()})
        with pytest.raises(UserError, match="does not hold what merge"):
            hydra_peft.unmerge(model)
    model.load_state_dict({name: tensor.bfloat16() for name, tensor in before.items()})
    hydra_peft.unmerge(model)


def test_every_cast_one_after_another_leaves_what_was_merged(
    tiny: nn.Module, randomize: Fill
) -> None:
    with torch.no_grad():  # down to what float16 holds in a few bits
        tiny.get_submodule("blocks.0.mlp.fc2").weight *= torch.logspace(-7, 0, 48)
    hydra_peft.inject(tiny, "lora", rank=2)
    randomize(tiny)
    for parameter in hydra_peft.trainable_parameters(tiny):
        parameter.data *= 1e-3
    names = hydra_peft.merge(tiny)
    for dtype in (torch.float64, torch.bfloat16, torch.float16, torch.float32):
        tiny.to(dtype)
    assert hydra_peft.unmerge(tiny) == names


def test_a_model_without_values_is_neither_merged_nor_saved(tmp_path: Path) -> None:
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(4, 4))
        hydra_peft.inject(model, "lora", targets=["0"], rank=1)
    with pytest.raises(UserError, match="0 is on the meta device and has no values to merge"):
        hydra_peft.merge(model)
    for save in (hydra_peft.save_adapter, hydra_peft.save_peft):
        with pytest.raises(UserError, match="meta device and has no values to save"):
            save(model, tmp_path)
    model[0]._hf_hook = object()  # as accelerate does that keeps the values elsewhere
    for save in (hydra_peft.save_adapter, hydra_peft.save_peft):
        with pytest.raises(UserError, match="accelerate keeps values of this model outside of it"):
            save(model, tmp_path)


@pytest.mark.parametrize("std", [0.001, 0.03])
def test_how_much_of_an_update_half_precision_rounds_away_is_told(
    std: float, caplog: pytest.LogCaptureFixture
) -> None:
    model = nn.Sequential(nn.Linear(32, 32), nn.Linear(32, 2)).bfloat16()
    hydra_peft.inject(model, "lora", targets=["0"], rank=2, bias=False, head="1")
    hydra_peft.merge(copy.deepcopy(model))  # not trained: no update, nothing lost
    branch, frozen = model[0].parallel, model[0].base.weight.detach().double()
    for part in (branch.down, branch.up):
        nn.init.normal_(part.weight, std=std)
    update = (branch.up.weight.double() @ branch.down.weight.double()).detach()
    assert not caplog.messages
    hydra_peft.merge(model)
    lost = (model[0].weight.double() - frozen - update).norm() / update.norm()
    assert 0.1 < lost <= 1.0
    said = f"merging rounds away {100 * lost:.0f}% of the update of 0 (more than 10% in 1 of 1"
    assert said in caplog.text


def test_updates_that_half_precision_holds_are_merged_in_silence(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for dtype, std in ((torch.bfloat16, 1.0), (torch.float16, 0.3), (torch.float32, 1e-3)):
        model = nn.Sequential(nn.Linear(32, 32), nn.Linear(32, 2)).to(dtype)
        hydra_peft.inject(model, "lora", targets=["0"], rank=2, head="1")
        for parameter in hydra_peft.trainable_parameters(model).adapter.values():
            nn.init.normal_(parameter, std=std)
        hydra_peft.merge(model)
    assert not caplog.messages


def test_adapters_in_float32_beside_a_half_precision_layer_keep_their_bits(
    tiny: nn.Module, randomize: Fill
) -> None:
    tiny.bfloat16()
    hydra_peft.inject(tiny, "hydra", rank=2)
    for parameter in hydra_peft.trainable_parameters(tiny).adapter.values():
        parameter.data = parameter.data.float()
    randomize(tiny)
    before = {name: t.clone() for name, t in tiny.state_dict().items()}
    assert len({t.dtype for t in before.values()}) == 2
    hydra_peft.merge(tiny)
    hydra_peft.unmerge(tiny)
    after = tiny.state_dict()
    assert all(t.dtype == after[n].dtype and torch.equal(t, after[n]) for n, t in before.items())


def test_what_inference_mode_would_forbid_can_be_trained(tiny: nn.Module, tmp_path: Path) -> None:
    fresh, x = copy.deepcopy(tiny), torch.randn(4, 12, requires_grad=True)

    def step(model: nn.Module) -> None:
        model(x).square().sum().backward()
        torch.optim.SGD(hydra_peft.trainable_parameters(model), lr=0.1).step()

    with torch.inference_mode():
        hydra_peft.inject(tiny, "hydra", rank=2)
    step(tiny)
    with torch.inference_mode():
        hydra_peft.save_adapter(tiny, tmp_path)
        hydra_peft.load_adapter(fresh, tmp_path)
        hydra_peft.merge(tiny)
    step(fresh)
    tiny(x).square().sum().backward()  # through the merged weights
    with torch.inference_mode():
        hydra_peft.unmerge(tiny)
    step(tiny)


@pytest.mark.parametrize("method", ["linear", "full"])
def test_methods_without_adapters_merge_and_unmerge_nothing(tiny: nn.Module, method: str) -> None:
    hydra_peft.inject(tiny, method)
    before = {name: tensor.clone() for name, tensor in tiny.state_dict().items()}
    assert hydra_peft.merge(tiny) == hydra_peft.unmerge(tiny) == []
    assert all(torch.equal(before[name], tensor) for name, tensor in tiny.state_dict().items())


def test_hooks_are_not_lost_by_merging_and_unmerging(tiny: nn.Module) -> None:
    hydra_peft.inject(tiny, "lora")
    name = "blocks.0.mlp.fc2"
    for verb in (hydra_peft.merge, hydra_peft.unmerge):
        layer = tiny.get_submodule(name)
        hook = layer.register_forward_hook(lambda _layer, _inputs, out: 2 * out)
        with pytest.raises(UserError, match=rf"^{name} has hooks, .* before {verb.__name__}\(\)"):
            verb(tiny)
        assert tiny.get_submodule(name) is layer
        hook.remove()
        assert name in verb(tiny)


@pytest.mark.parametrize("part", ["base", "parallel.down"])
def test_hooks_inside_an_adapter_are_not_lost_by_merging(tiny: nn.Module, part: str) -> None:
    hydra_peft.inject(tiny, "lora")
    name = f"blocks.0.mlp.fc2.{part}"
    hook = tiny.get_submodule(name).register_forward_pre_hook(lambda _layer, _inputs: None)
    with pytest.raises(UserError, match=rf"^{name} has hooks, .* before merge\(\)"):
        hydra_peft.merge(tiny)
    hook.remove()
    layer = tiny.get_submodule(name)
    own = layer.forward
    layer.forward = partial(own)  # as accelerate does
    with pytest.raises(UserError, match=rf"^{name} has hooks, or a forward of its own"):
        hydra_peft.merge(tiny)
    layer.forward = own  # what it leaves when its hooks are removed
    assert "blocks.0.mlp.fc2" in hydra_peft.merge(tiny)


class TiedEnds(nn.Module):
    """Words in, words out by one weight, with two tied layers between."""

    def __init__(self) -> None:
        super().__init__()
        self.emb, self.a, self.b = nn.Embedding(20, 8), nn.Linear(8, 8), nn.Linear(8, 8)
        self.lm = nn.Linear(8, 20, bias=False)
        self.lm.weight, self.b.weight = self.emb.weight, self.a.weight

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        return self.lm(self.b(self.a(self.emb(words))))


@pytest.mark.parametrize("method", ["lora", "hydra", "dora", "vera", "ssf"])
@pytest.mark.parametrize("targets", [["lm"], ["a", "b"]])
@pytest.mark.parametrize(
    "casts", [(torch.bfloat16,), (torch.float64,), (torch.bfloat16, torch.float32)]
)
def test_what_was_tied_follows_casts_while_merged(
    tmp_path: Path, method: str, targets: list[str], casts: tuple[torch.dtype, ...]
) -> None:
    model, x = TiedEnds(), torch.arange(5)
    options = {"bias": False} if method in ("lora", "hydra") else {}
    options |= {"shift": "biased"} if method == "ssf" else {}
    hydra_peft.inject(model, method, targets=targets, head=(), **options)
    for parameter in hydra_peft.trainable_parameters(model):
        parameter.data += 0.1 * torch.randn_like(parameter)
    expected = model(x)
    hydra_peft.merge(model)
    for dtype in casts:
        model.to(dtype)
    hydra_peft.save_adapter(model, tmp_path)
    hydra_peft.unmerge(model)
    assert {parameter.dtype for parameter in model.parameters()} == {casts[-1]}
    close = 0.1 if torch.bfloat16 in casts else 1e-5
    torch.testing.assert_close(model(x).float(), expected, rtol=close, atol=close)
    hydra_peft.merge(model)
    for cast in (casts[-1], torch.float16):  # after the second the tied weights are rounded too
        layer = model.get_submodule(targets[0])
        before = layer.weight.clone()
        model.to(cast).to(casts[-1])
        layer.weight.data = (before + 0.02 * before.abs().max()).to(torch.bfloat16).to(casts[-1])
        with pytest.raises(UserError, match="does not hold what merge"):
            hydra_peft.unmerge(model)
        layer.weight.data = before
        hydra_peft.unmerge(model)
        hydra_peft.merge(model)
