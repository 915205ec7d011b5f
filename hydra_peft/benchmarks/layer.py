"""Suite ``layer``: forward and backward of one adapted layer, input gradient included."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from hydra_peft.adapters.low_rank import LowRankLinear
from hydra_peft.benchmarks._report import Report, compared, in_turns, median, ratio, spread
from hydra_peft.benchmarks._variants import with_peft
from hydra_peft.training.devices import autocast, fastest_precision

TOKENS = 197
#: attn.proj and mlp.fc2 of ViT-B/16
SHAPES = ((768, 768), (3072, 768))
FROZEN, LORA, HYDRA = "frozen layer", "lora r=4", "hydra r=2+2"
THREE_BRANCHES, PEFT = "hydra r=2+2, three branches", "peft library, LoRA r=4"


@dataclass(frozen=True)
class Settings:
    """What is measured on.

    Attributes:
        batch_sizes: images of 197 tokens.
        repeats: rounds; the median is reported.
    """

    batch_sizes: tuple[int, ...] = (16, 64, 256)
    repeats: int = 5


def run(device: torch.device, settings: Settings) -> Report:
    """Measure one layer of each kind side by side on ``device``."""
    precision = fastest_precision(device.type)
    report = Report(
        "layer",
        {
            "tokens": TOKENS,
            "batch_sizes": list(settings.batch_sizes),
            "precision": precision,
            "repeats": settings.repeats,
        },
    )
    for width_in, width_out in SHAPES:
        layers = _layers(width_in, width_out, device)
        for batch_size in settings.batch_sizes:
            where = f"{width_in}->{width_out}, batch {batch_size}"
            x = torch.randn(batch_size, TOKENS, width_in, device=device, requires_grad=True)
            works = {name: _pass(layer, x, precision) for name, layer in layers.items()}
            seconds = in_turns(works, device, settings.repeats)
            for name, found in seconds.items():
                milliseconds = [1000 * one for one in found]
                report.rows.append(
                    {
                        "layer": where,
                        "kind": name,
                        "ms": median(milliseconds),
                        "range": spread(milliseconds),
                        "of frozen": median(ratio(seconds, name, FROZEN)),
                    }
                )
            for above, below, goal in (
                (HYDRA, LORA, "at most 1.00"),
                (HYDRA, THREE_BRANCHES, "at most 0.85"),
                (LORA, PEFT, "at most 0.90"),
            ):
                quotients = ratio(seconds, above, below)
                report.notes.append(compared(f"{where}: {above} / {below}", quotients, goal))
    return report


def _layers(width_in: int, width_out: int, device: torch.device) -> dict[str, nn.Module]:
    base = nn.Linear(width_in, width_out).requires_grad_(False)

    def adapted(fused: bool, **ranks: int) -> LowRankLinear:
        layer = LowRankLinear(copy.deepcopy(base), **ranks)  # type: ignore[arg-type]
        layer.fused = fused
        return layer

    both = {"rank_parallel": 2, "rank_sequential": 2}
    layers: dict[str, nn.Module] = {
        FROZEN: base,
        LORA: adapted(True, rank_parallel=4),
        HYDRA: adapted(True, **both),
        THREE_BRANCHES: adapted(False, **both),
        PEFT: _peft_layer(copy.deepcopy(base)),
    }
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
    upstream = torch.randn(*x.shape[:-1], SHAPES[0][1], device=x.device)
    wanted = [x, *(p for p in layer.parameters() if p.requires_grad)]

    def work() -> None:
        with autocast(x.device, precision):
            out = layer(x)
        torch.autograd.grad(out, wanted, upstream.to(out.dtype))

    return work
