"""Abilities of methods, found out by trying them on tiny models: the matrix in ``docs/methods.md``.

``ABILITIES`` has a function for each column. It returns what the cell says, or raises where a
method claims what it does not keep.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, cast

import timm
import torch
from timm.models.mlp_mixer import MlpMixer
from torch import Tensor, nn
from torch.nn import functional as F

import hydra_peft
from hydra_peft.adapters.base import Adapter, NotMergeable
from hydra_peft.adapters.low_rank import LowRankLinear
from hydra_peft.backbones.architectures import build_architecture
from hydra_peft.data.split import Split
from hydra_peft.errors import UserError
from hydra_peft.export.peft_form import peft_form
from hydra_peft.metrics import find_metric
from hydra_peft.packing.model import why_alone
from hydra_peft.runs.scoring import Scoring
from hydra_peft.runs.state import TrainingState
from hydra_peft.tasks.classification import Classification
from hydra_peft.training.batches import Feed
from hydra_peft.training.loop import Recipe, train
from hydra_peft.training.progress import EpochRecord, Progress

#: family of models that take token ids
TEXT = "text"
YES, NO, NOTHING = "yes", "no", "nothing to merge"
OTHER_TARGETS = "other targets"
#: what people call adapters of peft, by its name for the type
_PEFT = {"LORA": "LoRA", "VERA": "VeRA", "IA3": "IA3"}
#: what a module that passes on what attention or an MLP computed stands for
_KINDS = {"Identity": "sublayer"}


def _text_encoder(num_classes: int, **arguments: Any) -> nn.Module:
    """Return a RoBERTa in transformers' modules, which that package has to be there for."""
    model: Any = build_architecture("roberta", arguments)
    model.reset_classifier(num_classes)
    return cast(nn.Module, model)


#: tiny models of each family: what builds one, arguments, side of their images, and targets to try
#: where a method's own match nothing
FAMILIES: dict[str, tuple[Callable[..., nn.Module], dict[str, Any], int, tuple[list[str], ...]]] = {
    "ViT": (
        partial(timm.create_model, "vit_base_patch16_224"),
        {"img_size": 16, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2},
        16,
        (),
    ),
    "Swin": (
        partial(timm.create_model, "swin_tiny_patch4_window7_224"),
        {"img_size": 32, "window_size": 4, "embed_dim": 32, "depths": (1, 1), "num_heads": (2, 2)},
        32,
        (),
    ),
    "ConvNeXt": (
        partial(timm.create_model, "convnext_tiny"),
        {"depths": (1, 1, 1, 1), "dims": (32, 32, 32, 32)},
        32,
        (["mlp.fc1", "mlp.fc2"],),
    ),
    "EVA": (
        partial(timm.create_model, "eva02_base_patch14_224"),
        {"img_size": 16, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2},
        16,
        (["attn.q_proj", "attn.v_proj"], ["mlp.fc1_x", "mlp.fc2"]),
    ),
    "Mixer": (
        MlpMixer,
        {"img_size": 16, "patch_size": 8, "embed_dim": 32, "num_blocks": 2},
        16,
        (["mlp_channels"], ["mlp_channels.fc1", "mlp_channels.fc2"]),
    ),
    TEXT: (
        _text_encoder,
        {
            "vocab_size": 40,
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 64,
            "max_position_embeddings": 16,
        },
        8,
        (["attention.self.query", "attention.self.value"], ["output.dense"], ["output"]),
    ),
}


@dataclass(frozen=True)
class Case:
    """One method, by name, with options."""

    method: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def adapted(self) -> nn.Module:
        """Return a fresh ViT that carries the method, in evaluation mode."""
        return self.on("ViT")

    def on(self, family: str, **options: Any) -> nn.Module:
        """Return a fresh model of ``family`` that carries the method.

        Raises:
            UserError: the method does not fit it.
        """
        model = copy.deepcopy(_plain(family))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(2)
            hydra_peft.inject(model, self.method, **{**self.options, **options})
        return model

    def trained(self) -> nn.Module:
        """Return the same ViT with values as after training."""
        return as_trained(self.adapted())


@cache
def _plain(family: str) -> nn.Module:
    """Return the model that copies are made of; no bias or norm is at zero or one."""
    build, arguments, _, _ = FAMILIES[family]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = build(num_classes=3, **arguments)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.05)
    return model.eval()


def as_trained(model: nn.Module) -> nn.Module:
    """Move all trainable parameters of ``model`` away from where they start; return it."""
    draw = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                change = torch.randn(parameter.shape, generator=draw, dtype=parameter.dtype)
                parameter.add_(0.03 * change)
    return model


def inputs(family: str, dtype: torch.dtype) -> Any:
    """Return what a model of ``family`` takes: images, or token ids and which of them are there."""
    if family != TEXT:
        return images(family, dtype=dtype)
    draw = torch.Generator().manual_seed(4)
    ids = torch.randint(4, 40, (3, FAMILIES[family][2]), generator=draw)
    there = torch.ones_like(ids, dtype=torch.bool)
    there[0, 5:] = 0
    return {"input_ids": ids, "attention_mask": there}


def images(family: str = "ViT", count: int = 3, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return the same random images each time, ``[count, 3, side, side]``."""
    side = FAMILIES[family][2]
    draw = torch.Generator().manual_seed(4)
    return torch.randn(count, 3, side, side, generator=draw).to(dtype)


def carriers(model: nn.Module) -> list[Adapter]:
    """Return the adapters of ``model``."""
    return [module for module in model.modules() if isinstance(module, Adapter)]


def _loss(outputs: Tensor) -> Tensor:
    return F.cross_entropy(outputs, torch.arange(len(outputs)) % 3)


def layer_types(case: Case) -> str:
    """Return the kinds of frozen modules that carry an adapter on a ViT."""
    frozen = [adapter.base for adapter in carriers(case.adapted())]
    kinds = {type(base).__name__ for base in frozen if not isinstance(base, Adapter)}
    said = {_KINDS.get(kind, kind) for kind in kinds if not kind.startswith("_")}
    return ", ".join(sorted(said)) or "none"


def merges(case: Case) -> str:
    """Return whether one plain backbone computes the same, in float64 to 1e-10, float32 to 1e-5."""
    for dtype, atol in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
        model = case.trained().to(dtype)
        if not carriers(model):
            return NOTHING
        x = images(dtype=dtype)
        expected = model(x)
        try:
            hydra_peft.merge(model)
        except NotMergeable:
            torch.testing.assert_close(model(x), expected, rtol=0, atol=0)
            return NO
        assert list(model.state_dict()) == list(_plain("ViT").state_dict()), "names are not stock"
        torch.testing.assert_close(model(x), expected, rtol=0, atol=atol)
    return "exactly"


def unmerges(case: Case) -> str:
    """Return whether unmerging gives every tensor back, bit for bit."""
    model = case.trained()
    if not carriers(model):
        return NOTHING
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    try:
        hydra_peft.merge(model)
    except NotMergeable:
        return NO
    hydra_peft.unmerge(model)
    found = model.state_dict()
    assert found.keys() == state.keys(), "names are not those of before"
    assert all(torch.equal(found[name], state[name]) for name in state), "other bits"
    return "bit for bit"


def in_peft(case: Case) -> str:
    """Return what the peft library calls an adapter that computes the same."""
    try:
        options, _ = peft_form(case.trained())
    except UserError:
        return NO
    return "DoRA" if options.get("use_dora") else _PEFT[options["peft_type"]]


def packs(case: Case) -> str:
    """Return whether runs share steps (``hydra/launcher=packed``): of other methods too, with one
    frozen product where updates have a low rank, else each its own layers alone."""
    model = case.adapted()
    if why_alone(model) is not None:
        return NO
    low_rank = all(isinstance(adapter, LowRankLinear) for adapter in carriers(model))
    return "one product" if low_rank else YES


def in_bfloat16(case: Case) -> str:
    """Return whether it computes under bfloat16 autocast about what it computes in float32."""
    model = case.trained()
    expected = model(images())
    with torch.autocast("cpu", torch.bfloat16):
        found = model(images())
        _loss(found).backward()
    scale = expected.abs().max().item()
    torch.testing.assert_close(found.float(), expected, rtol=0, atol=0.05 * scale + 0.05)
    for parameter in hydra_peft.trainable_parameters(model):
        assert parameter.grad is not None, "a parameter without gradient"
        assert parameter.grad.dtype == parameter.dtype, "a gradient of another type"
    return YES


def compiles(case: Case) -> str:
    """Return whether torch.compile takes the model as one graph."""
    model = case.trained()
    expected = model(images())
    torch._dynamo.reset()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(images()), expected, rtol=0, atol=1e-5)
    return YES


def checkpoints_gradients(case: Case) -> str:
    """Return whether gradient checkpointing gives the same gradients."""
    plain, twin = case.trained(), case.trained()
    twin.set_grad_checkpointing()  # type: ignore[operator]
    found = []
    for model in (plain, twin):
        _loss(model(images())).backward()
        found.append([p.grad for p in hydra_peft.trainable_parameters(model) if p.grad is not None])
    for own, other in zip(*found, strict=True):
        torch.testing.assert_close(own, other, rtol=0, atol=1e-6)
    return YES


def resumes(case: Case) -> str:
    """Return whether training that is broken off in its second epoch ends in the same bits."""
    whole = _Training(case)
    whole.go(4)
    first = _Training(case)
    first.go(3)
    tensors = {name: tensor.clone() for name, tensor in first.state.tensors().items()}
    facts = first.state.facts()
    second = _Training(case)
    second.state.check(tensors, facts)
    second.state.load(tensors, facts)
    second.go(1)
    found = second.state.tensors()
    for name, tensor in whole.state.tensors().items():
        assert torch.equal(found[name], tensor), f"{name} has other bits"
    return YES


class _Training:
    """Two epochs of two steps on six random images, a step at a time."""

    def __init__(self, case: Case) -> None:
        model = case.adapted()
        optimizer = torch.optim.AdamW(list(hydra_peft.trainable_parameters(model)), lr=0.01)
        task = Classification(3, (find_metric("accuracy"),))
        split = Split({"image": images(count=6)}, torch.arange(6) % 3)
        feed = Feed(model, split, {}, lambda batch: batch.inputs["image"])
        recipe = Recipe(2, 3, False, lambda *_: 0.01, seed=5)
        scoring = Scoring(task, _protocol(), recipe.epochs)
        self.state = TrainingState(
            model, optimizer, Progress(), [], scoring, torch.device("cpu"), 6, 3, 2
        )
        self.stream = train(
            model, task, feed, recipe, optimizer=optimizer, progress=self.state.progress
        )

    def go(self, steps: int) -> None:
        """Do so many steps."""
        while steps:
            value = next(self.stream)
            if isinstance(value, EpochRecord):
                self.state.epochs.append(value)
            else:
                steps -= 1


def _protocol() -> Any:
    from hydra_peft.config.schema import FillsConfig, ProtocolConfig

    fills = FillsConfig("", "gaussian", 0.0, False, "backbone", "constant", None, 0.0)
    return ProtocolConfig("probing", "train", "test", "last", None, False, {}, fills)


def on_family(family: str) -> Callable[[Case], str]:
    """Return the ability to adapt a model of ``family``, train there, and merge if it does."""

    def ability(case: Case) -> str:
        for targets in (None, *FAMILIES[family][3]):
            named = {} if targets is None else {"targets": targets}
            try:
                model = case.on(family, **named)
            except UserError:
                continue
            _check_computes(model.double(), inputs(family, torch.float64))
            return YES if targets is None else OTHER_TARGETS
        return NO

    return ability


def _check_computes(model: nn.Module, x: Any) -> None:
    """Check that everything trained gets a gradient, and that merging, if any, changes nothing."""
    as_trained(model)
    hydra_peft.set_training_mode(model)
    _loss(model(x)).backward()
    for parameter in hydra_peft.trainable_parameters(model):
        assert parameter.grad is not None, "a parameter without gradient"
        assert parameter.grad.isfinite().all(), "a gradient that is not finite"
    expected = model.eval()(x)
    if carriers(model):
        try:
            hydra_peft.merge(model)
        except NotMergeable:
            return
        torch.testing.assert_close(model(x), expected, rtol=0, atol=1e-9)


#: columns of the matrix
ABILITIES: dict[str, Callable[[Case], str]] = {
    "adapts": layer_types,
    "merges": merges,
    "unmerges": unmerges,
    "in peft": in_peft,
    "packs": packs,
    "bf16": in_bfloat16,
    "compiles whole": compiles,
    "checkpointing": checkpoints_gradients,
    "resumes": resumes,
    **{family: on_family(family) for family in FAMILIES},
}


def matrix_lines() -> list[str]:
    """Return the matrix of all methods as lines of Markdown."""
    from hydra_peft.methods import method_names

    lines = [f"| `method=` | {' | '.join(ABILITIES)} |", "|---" * (len(ABILITIES) + 1) + "|"]
    for method in method_names():
        case = Case(method)
        cells = [ability(case) for ability in ABILITIES.values()]
        lines.append(f"| `{method}` | {' | '.join(cells)} |")
    return lines
