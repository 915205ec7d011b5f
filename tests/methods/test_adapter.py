"""Bottleneck adapters against their formulas, the package adapter-plus and published counts."""

from __future__ import annotations

import copy
import importlib.util
import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import timm
import torch
from plain_block import block, bottleneck, own_weights, scaled_block
from stock_vit import vit_b16
from timm.models.convnext import ConvNeXt
from timm.models.mlp_mixer import MlpMixer
from timm.models.swin_transformer import SwinTransformer
from timm.models.swin_transformer_v2 import SwinTransformerV2
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

import hydra_peft
from hydra_peft import UserError
from hydra_peft.adapters.activations import ACTIVATIONS
from hydra_peft.adapters.block_adapters import POSITIONS
from hydra_peft.adapters.bottleneck import Bottleneck
from hydra_peft.methods import build_method
from hydra_peft.methods._bottleneck import POSITIONS as NAMES

Fill = Callable[[nn.Module], None]

#: each activation by its definition
PLAIN: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": lambda x: torch.where(x > 0, x, torch.zeros_like(x)),
    "gelu": lambda x: x * (1 + torch.erf(x / math.sqrt(2))) / 2,
    "gelu_tanh": lambda x: x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2,
    "quick_gelu": lambda x: x / (1 + torch.exp(-1.702 * x)),
    "swish": lambda x: x / (1 + torch.exp(-x)),
}


def branches(model: nn.Module) -> list[Bottleneck]:
    return [module for module in model.modules() if isinstance(module, Bottleneck)]


def tokens(count: int = 2) -> Tensor:
    return torch.randn(count, 5, 12, dtype=torch.float64)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name: str) -> None:
    x = torch.linspace(-4, 4, 33, dtype=torch.float64)
    torch.testing.assert_close(ACTIVATIONS[name](x), PLAIN[name](x), rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("position", "options"),
    [
        ("intermediate", {}),
        ("houlsby", {"norm": True, "activation": "swish"}),
        ("pre", {"scaling": "channel", "activation": "gelu"}),
        ("post", {"scaling": "learned", "scale": 0.3, "activation": "gelu_tanh"}),
        ("pfeiffer", {"norm": True, "scale": -2.0, "bias": False}),
        ("parallel", {"activation": "relu", "scale": 0.1}),
    ],
)
def test_a_block_computes_the_formula(
    position: str, options: dict[str, Any], randomize: Fill
) -> None:
    fresh = scaled_block()
    model = copy.deepcopy(fresh)
    hydra_peft.inject(model, "adapter", head=(), rank=3, position=position, **options)
    randomize(model)
    found = branches(model)
    own = [own_weights(branch) for branch in found]
    activation = PLAIN[options.get("activation", "quick_gelu")]

    def plain(weights: dict[str, Tensor]) -> Callable[[Tensor], Tensor]:
        scale = weights.get("scale", options.get("scale", 1.0))
        return lambda x: bottleneck(weights, x, activation, scale)

    x = tokens()
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    out = model(inputs[0])
    weights = dict(fresh[0].named_parameters())
    first = plain(own[0]) if position == "houlsby" else None
    expected = block(weights, inputs[1], position, plain(own[-1]), first)
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-12)
    factor = torch.randn_like(out)
    (out * factor).sum().backward()
    (expected * factor).sum().backward()
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad, rtol=0, atol=1e-11)
    for branch, tensors in zip(found, own, strict=True):
        for n, parameter in branch.named_parameters():
            torch.testing.assert_close(parameter.grad, tensors[n].grad, rtol=0, atol=1e-11)


def test_every_position_is_one_of_a_block() -> None:
    assert list(POSITIONS) == list(NAMES)


def test_pfeiffer_is_post_in_another_word() -> None:
    pfeiffer, post = (build_method("adapter", position=word) for word in ("pfeiffer", "post"))
    assert pfeiffer.identity() == post.identity()
    assert post.identity() != build_method("adapter").identity()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    ("init", "deviation", "most"),
    [("houlsby", 0.00880, 0.02), ("trunc_normal", 0.02, 2.0), ("gaussian", 0.02, 2.0)],
)
def test_how_the_weights_start(
    init: str, deviation: float, most: float, dtype: torch.dtype
) -> None:
    branch = Bottleneck(300, 40, init=init, dtype=dtype)
    for layer in (branch.down, branch.up):
        weight = layer.weight.float()
        assert weight.std().item() == pytest.approx(deviation, rel=0.03)  # of 12,000 values
        assert weight.abs().max().item() <= most * 1.004  # half precision rounds
        assert not layer.bias.any()
    zero = Bottleneck(300, 40, init=init, zero_up=True, dtype=dtype)
    assert zero.down.weight.any()
    assert not zero.up.weight.any()
    assert not Bottleneck(6, 2, init=init, zero_up=True)(torch.randn(4, 6)).any()


def test_dropout_is_on_the_activated_features() -> None:
    branch = Bottleneck(6, 4, dropout=0.5, activation="relu").train()
    nn.init.ones_(branch.down.bias)  # all features are active
    nn.init.eye_(branch.up.weight)
    features = branch.down(x := torch.randn(500, 6) * 0.01).detach()
    out = branch(x)[:, :4].detach()
    kept = out != 0
    torch.testing.assert_close(out[kept], 2 * features[kept])
    assert 0.4 < kept.float().mean() < 0.6
    branch.eval()
    torch.testing.assert_close(branch(x)[:, :4], features)


def test_drop_path_leaves_the_branch_out_of_whole_examples() -> None:
    branch = Bottleneck(6, 4, drop_path=0.25).train()
    x = torch.randn(400, 3, 6)
    out, full = branch(x), branch.eval()(x)
    kept = out.flatten(1).any(1)
    torch.testing.assert_close(out[kept], full[kept] / 0.75)
    assert 0.65 < kept.float().mean() < 0.85


@pytest.fixture(scope="module")
def vit_base() -> nn.Module:
    return vit_b16()


@pytest.mark.parametrize(
    ("variant", "count"),
    [
        ("adapter", 156_768),
        ("adapter_houlsby", 2 * 156_768),
        ("adapter_elevater", 1_208_064),
        ("adapter_plus", 165_984),
    ],
)
def test_published_counts(
    variant: str, count: int, compose_train: Callable[..., object], vit_base: nn.Module
) -> None:
    from hydra_peft.config.check import check_config

    method = check_config(compose_train(f"method={variant}")).method
    model = copy.deepcopy(vit_base)
    hydra_peft.inject(model, method)
    assert hydra_peft.count_parameters(model).adapter == count


def test_a_published_adapter_drops_with_the_sublayer_not_without_it(randomize: Fill) -> None:
    """NOAH and Adapter+ read DropPath(m), so of a dropped example the adapter sees zeros."""
    model = nn.Sequential(Block(12, 2, drop_path=0.9)).double()
    hydra_peft.inject(model, "adapter", head=(), dropout=0.0)
    randomize(model)
    hydra_peft.set_training_mode(model)
    x = tokens(64)
    changes = model(x) - x
    with torch.no_grad():
        (branch,) = branches(model)
        alone = branch(torch.zeros(12, dtype=torch.float64))
    assert (changes - alone).flatten(1).abs().amax(1).lt(1e-12).sum() > 32  # 0.81 of them


WINDOWS = {"window_size": 2, "embed_dim": 8, "depths": (1, 1), "num_heads": (2, 2)}
#: how to build a small one, the side of its images, its MLPs
BACKBONES: dict[str, tuple[Callable[[], nn.Module], int, str]] = {
    "swin": (lambda: SwinTransformer(16, num_classes=3, **WINDOWS), 16, "mlp"),
    "eva": (
        lambda: timm.create_model(
            "eva02_tiny_patch14_224", img_size=28, embed_dim=24, depth=2, num_heads=2
        ),
        28,
        "mlp",
    ),
    "mixer": (
        lambda: MlpMixer(3, img_size=16, patch_size=8, num_blocks=2, embed_dim=8),
        16,
        "mlp_channels",
    ),
    "convnext": (
        lambda: ConvNeXt(num_classes=3, depths=(1, 1, 1, 1), dims=(8, 8, 16, 16)),
        32,
        "mlp",
    ),
    "swinv2": (lambda: SwinTransformerV2(16, num_classes=3, **WINDOWS), 16, "mlp"),
}
REFUSED = {
    (
        "mixer",
        "houlsby",
    ): r"blocks.0 \(MixerBlock\) has no place for position=houlsby: .*drop_path1",
    ("convnext", "houlsby"): "has no place for position=houlsby",
    ("convnext", "pre"): "needs a norm2 that reads what the MLP is given",
    ("convnext", "parallel"): "has no place for position=parallel",
    ("convnext", "post"): "a norm2 over its last dimension",
    ("convnext", "pfeiffer"): "Take position=intermediate, or targets in other blocks",
    ("swinv2", "pre"): "SwinTransformerV2Block.* needs a norm2 that reads what the MLP is given",
    ("swinv2", "parallel"): "has no place for position=parallel",
}


@pytest.mark.parametrize("backbone", BACKBONES)
def test_other_backbones(backbone: str, randomize: Fill) -> None:
    build, side, target = BACKBONES[backbone]
    fresh = build().eval()
    with torch.no_grad():
        for parameter in fresh.parameters():  # norms that start at zero hide what they scale
            parameter.add_(torch.randn_like(parameter) * 0.05)
    x = torch.randn(1, 3, side, side)
    before = fresh(x)
    for position in NAMES:
        model = copy.deepcopy(fresh)
        options = {"position": position, "targets": [target], "rank": 2}
        if reason := REFUSED.get((backbone, position)):
            with pytest.raises(UserError, match=reason):
                hydra_peft.inject(model, "adapter", **options)
            assert list(model.state_dict()) == list(fresh.state_dict())
            continue
        hydra_peft.inject(model, "adapter", **options)
        for branch in branches(model):
            branch.scale = 0.0
        torch.testing.assert_close(model(x), before)  # they stand where they change nothing else
        for branch in branches(model):
            branch.scale = 1.0
        randomize(model)
        model(x).sum().backward()
        for branch in branches(model):
            assert all(p.grad is not None and p.grad.any() for p in branch.parameters())


def test_convolutions_are_refused() -> None:
    model = ConvNeXt(num_classes=3, depths=(1, 1, 1, 1), dims=(8, 8, 16, 16), conv_mlp=True)
    with pytest.raises(UserError, match=r"stages.0.blocks.0.mlp is a .* without a torch.nn.Linear"):
        hydra_peft.inject(model, "adapter")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"position": "befor"}, "position=befor is not allowed: it must be one of intermediate"),
        ({"scaling": "chanel"}, "scaling=chanel is not allowed: it must be one of fixed, learn"),
        ({"activation": "gellu"}, "activation=gellu is not allowed: it must be one of relu, gelu"),
        ({"init": "houlsbi"}, "init=houlsbi is not allowed: it must be one of gaussian"),
        ({"rank": 0}, "rank=0 is not allowed: it must be at least 1"),
        ({"targets": []}, "not a list of name patterns of MLPs"),
    ],
)
def test_mistakes(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        build_method("adapter", **options)


def test_what_a_broken_off_forward_leaves_is_not_copied(randomize: Fill) -> None:
    model = scaled_block()
    hydra_peft.inject(model, "adapter", head=(), position="parallel")
    randomize(model)
    expected = model(x := tokens())

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    hook = model.get_submodule("0.mlp").register_forward_hook(stop)
    with pytest.raises(KeyboardInterrupt):
        model(x)
    hook.remove()
    for twin in (copy.deepcopy(model), model):
        torch.testing.assert_close(twin(x), expected, rtol=0, atol=0)


def test_compiled_with_its_backward_what_is_handed_on_stays_inside(randomize: Fill) -> None:
    model = scaled_block()
    hydra_peft.inject(model, "adapter", head=(), rank=2, position="pre", dropout=0.0)
    randomize(model)
    twin, x = copy.deepcopy(model), tokens()
    torch._dynamo.reset()
    twin.compile(backend="aot_eager", fullgraph=True)
    for one in (model, twin):
        one(x).pow(2).sum().backward()
    for own, other in zip(branches(model), branches(twin), strict=True):
        for a, b in zip(own.parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(a.grad, b.grad, rtol=0, atol=1e-11)


@pytest.fixture
def published() -> Iterator[Any]:
    """The package adapter-plus, whose import changes how timm makes transformers."""
    if importlib.util.find_spec("adapter_plus") is None:
        pytest.skip("no adapter-plus: pip install --no-deps adapter-plus")
    own = timm.models.vision_transformer._create_vision_transformer
    import adapter_plus

    yield adapter_plus
    timm.models.vision_transformer._create_vision_transformer = own


@pytest.mark.filterwarnings("ignore:Importing from timm.models:FutureWarning")
@pytest.mark.parametrize("position", NAMES)
def test_the_package_adapter_plus_computes_the_same(
    published: Any, position: str, randomize: Fill
) -> None:
    from omegaconf import OmegaConf

    sizes = {"img_size": 16, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 2}
    stock = VisionTransformer(**sizes, num_classes=3, init_values=0.5).double().eval()
    model, theirs = copy.deepcopy(stock), copy.deepcopy(stock)
    hydra_peft.inject(model, "adapter_plus", position=position)
    randomize(model)
    config = OmegaConf.create(
        {"config": position, "dim": 8, "dropout": 0.0, "drop_path": 0.1, "act_layer": True}
        | {"norm_layer": False, "bias": True, "scaling": "channel", "init": "houlsby"}
        | {"attn_adapter": position == "houlsby"}
    )
    own = iter(branches(model))
    for index, old in enumerate(stock.blocks):
        new = published.AdapterBlock(
            24, 2, qkv_bias=True, init_values=0.5, adapter_config=config
        ).double()
        new.load_state_dict(old.state_dict(), strict=False)
        new.norm1.eps = new.norm2.eps = old.norm1.eps
        for part in ["adapter_attn"] * (position == "houlsby") + ["adapter"]:
            branch = next(own)
            names = {"bottleneck.1": "down", "bottleneck.4": "up"}
            state = {
                f"{a}.{kind}": branch.state_dict()[f"{b}.{kind}"]
                for a, b in names.items()
                for kind in ("weight", "bias")
            }
            getattr(new, part).load_state_dict({**state, "scaling": branch.scale})
        theirs.blocks[index] = new.eval()
    theirs.head = copy.deepcopy(model.head)
    x = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    torch.testing.assert_close(model(x), theirs(x), rtol=0, atol=1e-12)
