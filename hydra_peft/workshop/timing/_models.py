"""The models that suites compare, one training step of each, and training as runs do it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hydra_peft.adaptation.injection import inject
from hydra_peft.adapters.low_rank import LowRankLinear
from hydra_peft.backbones.architectures import build_architecture, input_size
from hydra_peft.data.split import Split
from hydra_peft.listed import listed
from hydra_peft.methods import method_names
from hydra_peft.optimizers.adamw import AdamW
from hydra_peft.tasks import Task, build_task
from hydra_peft.training.batches import Feed, Prepare
from hydra_peft.training.compiling import compile_blocks, pays
from hydra_peft.training.devices import autocast, fastest_precision
from hydra_peft.training.evaluation import evaluate
from hydra_peft.training.loop import Recipe, train
from hydra_peft.training.passes import Compute, compute_alone
from hydra_peft.training.progress import Step

CLASSES = 100
LORA, SEQLORA, HYDRA = "lora r=4", "seqlora r=6", "hydra r=2+2"
#: what the paper compares on VTAB-1k and in its tables of costs
COMPARED = (LORA, SEQLORA, HYDRA)
#: our methods by the title of their row, as Table 8 of the paper compares them
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    LORA: ("lora", {"rank": 4}),
    SEQLORA: ("seqlora", {"rank": 6}),
    HYDRA: ("hydra", {"rank": 2}),
    "full": ("full", {}),
}
#: names of the layers that they adapt
TABLE_8 = r".*(attn\.proj|mlp\.fc2)"
THREE_BRANCHES = f"{HYDRA}, three branches"
PEFT = "peft library, LoRA r=4"
#: the least an adapter takes: the head and one bias of the first layer adapted are trained
FROZEN = "frozen backbone, gradients passed on"
NO_PEFT = f"{PEFT} is left out: it is not installed (pip install peft)"
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def precisions(asked: str, device: torch.device) -> tuple[str, ...]:
    """Return the precisions that ``asked`` names; ``auto`` is the device's fastest one."""
    return (
        (fastest_precision(device.type),) if asked == "auto" else tuple(listed("precisions", asked))
    )


def compared_rows(methods: str) -> tuple[str, ...]:
    """Return the titles of the models that ``methods`` asks for, each known to :func:`build`.

    Args:
        methods: ``table8``: its rows, branches one by one, the frozen backbone alone, and the peft
            library where it is there; ``all``, or names of methods separated by commas.
    """
    if methods == "table8":
        return (*METHODS, THREE_BRANCHES, FROZEN, *([PEFT] if has_peft() else []))
    return tuple(method_names() if methods == "all" else listed("methods", methods))


def has_peft() -> bool:
    """Whether the peft library is installed."""
    return find_spec("peft") is not None


def build(title: str, architecture: str, device: torch.device) -> nn.Module:
    """Return the model of a row, with random weights, in training mode.

    Args:
        title: of the row; the name of a method stands for it with its default options.
    """
    if title == PEFT:
        plain = _plain(architecture, CLASSES)
        model = with_peft(plain, TABLE_8, head="head")
        return _in_training(model, device)
    if title == FROZEN:
        return _in_training(_frozen(_plain(architecture, CLASSES)), device)
    method, options = METHODS.get(HYDRA if title == THREE_BRANCHES else title, (title, {}))
    model = adapted(architecture, method, options, device)
    if title == THREE_BRANCHES:
        set_fused(model, False)
    return model


def _frozen(model: nn.Module) -> nn.Module:
    layers = [m for name, m in model.named_modules() if re.fullmatch(TABLE_8, name)]
    model.requires_grad_(False)
    cast(Any, model).get_classifier().requires_grad_(True)
    cast(nn.Linear, layers[0]).bias.requires_grad_(True)
    return model


def set_fused(model: nn.Module, fused: bool) -> None:
    """Choose the fused operation, or one branch after the other, in all layers of ``model``."""
    for module in model.modules():
        if isinstance(module, LowRankLinear):
            module.fused = fused


def compiled_where_it_pays(model: nn.Module, device: torch.device) -> nn.Module:
    """Return ``model``, its blocks compiled on devices on which runs compile them."""
    if pays(device):
        compile_blocks(model, cuda_graph=False)
    return model


def adapted(
    architecture: str,
    method: str,
    options: dict[str, Any],
    device: torch.device,
    *,
    classes: int = CLASSES,
) -> nn.Module:
    """Return a model with random weights that ``method`` trains, in training mode."""
    model = _plain(architecture, classes)
    inject(model, method, **options)
    return _in_training(model, device, trains_backbone=method == "full")


def _plain(architecture: str, classes: int) -> nn.Module:
    torch.manual_seed(0)
    model = build_architecture(architecture, {})
    cast(Any, model).reset_classifier(classes)
    return model


def _in_training(
    model: nn.Module, device: torch.device, *, trains_backbone: bool = False
) -> nn.Module:
    for name, parameter in model.named_parameters():
        # Updates as in the middle of training: at the start they are zero.
        if parameter.requires_grad and "head" not in name and not trains_backbone:
            nn.init.normal_(parameter, std=0.02)
    return model.train().to(device)


def with_peft(model: nn.Module, targets: str, *, head: str | None) -> nn.Module:
    """Return ``model`` with the peft library's LoRA of rank 4 on the layers in ``targets``."""
    from peft import LoraConfig, get_peft_model

    saved = None if head is None else [head]
    config = LoraConfig(r=4, lora_alpha=4, target_modules=targets, modules_to_save=saved)
    return cast(nn.Module, get_peft_model(cast(Any, model), config))


def training_step(
    model: nn.Module,
    batch_size: int,
    device: torch.device,
    precision: str,
    *,
    classes: int = CLASSES,
) -> Callable[[], None]:
    """Return a function that does one step on random images of the model's size."""
    height, width = input_size(cast(Any, getattr(model, "base_model", model)))
    images = torch.randn(batch_size, 3, height, width, device=device)
    labels = torch.randint(0, classes, (batch_size,), device=device)
    optimizer = adamw(model)

    def step() -> None:
        with autocast(device, precision):
            loss = F.cross_entropy(model(images), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step


def adamw(model: nn.Module, *, lr: float = 1e-4) -> torch.optim.Optimizer:
    """Return a run's optimizer over what ``model`` trains, with the decay of VTAB-1k's recipe."""
    trained = [p for p in model.parameters() if p.requires_grad]
    return AdamW(lr, weight_decay=1e-4, betas=[0.9, 0.999], eps=1e-8).build(trained)


@dataclass
class Training:
    """Training and scoring of an adapted model as runs do both; classification by accuracy.

    Attributes:
        model: the model, on ``device``.
        prepare: from a batch of a split to the model's input.
        device: where it computes.
        precision: ``fp32`` or ``bf16``.
        classes: outputs of the model.
    """

    model: nn.Module
    prepare: Prepare
    device: torch.device
    precision: str
    classes: int = CLASSES

    def train(
        self,
        split: Split,
        optimizer: torch.optim.Optimizer,
        *,
        epochs: int,
        batch_size: int,
        drop_last: bool = False,
        seed: int = 0,
        compute: Compute = compute_alone,
    ) -> list[Tensor]:
        """Train at the optimizer's own rate, without clipping and without scoring.

        Args:
            split: training images on the device.
            seed: of the batch order and of dropout.
            compute: does the passes; several runs may share theirs.

        Returns:
            The loss of each step, on the device.
        """
        lr = float(optimizer.param_groups[0]["lr"])
        recipe = Recipe(
            epochs,
            batch_size,
            drop_last,
            learning_rate=lambda *_: lr,
            precision=self.precision,
            seed=seed,
        )
        feed = Feed(self.model, split, {}, self.prepare)
        steps = train(self.model, self._task(), feed, recipe, optimizer=optimizer, compute=compute)
        return [step.loss for step in steps if isinstance(step, Step)]

    def score(self, split: Split) -> float:
        """Return the accuracy on ``split`` in percent."""
        return evaluate(
            self.model,
            self._task(),
            split,
            prepare=self.prepare,
            device=self.device,
            precision=self.precision,
        ).values["accuracy"]

    def _task(self) -> Task:
        return build_task("classification", outputs=self.classes, metrics=["accuracy"])
