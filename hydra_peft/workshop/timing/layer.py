"""Suite ``layer``: forward and backward of one adapted layer, input gradient included."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from hydra_peft.adapters.low_rank import LowRankLinear
from hydra_peft.training.devices import autocast
from hydra_peft.workshop.timing._models import (
    DTYPES,
    HYDRA,
    LORA,
    NO_PEFT,
    PEFT,
    SEQLORA,
    THREE_BRANCHES,
    has_peft,
    precisions,
    with_peft,
)
from hydra_peft.workshop.timing._report import Report, Seconds, in_ms, median, ratio
from hydra_peft.workshop.timing.settings import LayerSettings

TOKENS = 197
#: attn.proj and mlp.fc2 of ViT-B/16
SHAPES = ((768, 768), (3072, 768))
FROZEN, FULL = "frozen layer", "trained layer"
GOALS = (
    (HYDRA, LORA, "at most 1.00"),
    (HYDRA, THREE_BRANCHES, "at most 0.85"),
    (LORA, PEFT, "at most 0.90"),
)


def run(device: torch.device, settings: LayerSettings, report: Report) -> None:
    """Measure one layer of each kind side by side on ``device``."""
    asked = precisions(settings.precisions, device)
    report.settings = {**vars(settings), "tokens": TOKENS, "precisions": list(asked)}
    if not has_peft():
        report.notes.append(NO_PEFT)
    for precision in asked:
        for width_in, width_out in SHAPES:
            layers = _layers(width_in, width_out, device)
            for batch_size in settings.batch_sizes:
                where = f"{width_in}->{width_out}, batch {batch_size}, {precision}"
                # In the dtype that the layer before it gives under autocast.
                x = torch.randn(
                    batch_size,
                    TOKENS,
                    width_in,
                    device=device,
                    dtype=DTYPES[precision],
                    requires_grad=True,
                )
                works = {name: _pass(layer, x, precision) for name, layer in layers.items()}
                seconds = report.in_turns(
                    works, settings.repeats, partial(_row, where), calls=settings.calls, title=where
                )
                report.compare(seconds, GOALS, title=where)


def _row(where: str, name: str, seconds: Seconds) -> dict[str, Any]:
    of_frozen = median(ratio(seconds, name, FROZEN))
    return {"layer": where, "kind": name, **in_ms(seconds[name]), "of frozen": of_frozen}


def _layers(width_in: int, width_out: int, device: torch.device) -> dict[str, nn.Module]:
    base = nn.Linear(width_in, width_out).requires_grad_(False)

    def adapted(fused: bool, **ranks: int) -> LowRankLinear:
        layer = LowRankLinear(copy.deepcopy(base), **ranks)  # type: ignore[arg-type]
        layer.fused = fused
        return layer

    both = {"rank_parallel": 2, "rank_sequential": 2}
    layers: dict[str, nn.Module] = {
        FROZEN: base,
        FULL: copy.deepcopy(base).requires_grad_(True),
        LORA: adapted(True, rank_parallel=4),
        SEQLORA: adapted(True, rank_sequential=6),
        HYDRA: adapted(True, **both),
        THREE_BRANCHES: adapted(False, **both),
    }
    if has_peft():
        layers[PEFT] = _peft_layer(copy.deepcopy(base))
    for layer in layers.values():
        for parameter in layer.parameters():
            if parameter.requires_grad:
                nn.init.normal_(parameter, std=0.02)
    return {name: layer.to(device) for name, layer in layers.items()}


def _peft_layer(base: nn.Linear) -> nn.Module:
    """Return the library's adapted layer alone, without the model around it and what that does."""
    wrapped = with_peft(nn.Sequential(base), r"0", head=None)
    return wrapped.get_submodule("base_model.model.0")


def _pass(layer: nn.Module, x: torch.Tensor, precision: str) -> Callable[[], None]:
    upstream = torch.randn(*x.shape[:-1], SHAPES[0][1], device=x.device, dtype=x.dtype)
    wanted = [x, *(p for p in layer.parameters() if p.requires_grad)]

    def work() -> None:
        with autocast(x.device, precision):
            out = layer(x)
        torch.autograd.grad(out, wanted, upstream.to(out.dtype))

    return work
