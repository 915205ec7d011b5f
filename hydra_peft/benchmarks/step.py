"""Suite ``step``: one training step of a whole model, by method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from hydra_peft.adapters.low_rank import LowRankLinear
from hydra_peft.benchmarks._memory import peak_of
from hydra_peft.benchmarks._report import Report, compared, in_turns, median, ratio, spread, timed
from hydra_peft.benchmarks._variants import (
    CLASSES,
    METHODS,
    PEFT,
    THREE_BRANCHES,
    ModelSettings,
    build,
    training_step,
)
from hydra_peft.training.compiling import compile_blocks, pays
from hydra_peft.training.devices import fastest_precision
from hydra_peft.training.optimizer import build_adamw

LORA, HYDRA = "lora r=4", "hydra r=2+2"
COMPILED = ", compiled"
LINEAR = "linear, on features computed once"


@dataclass(frozen=True)
class Settings(ModelSettings):
    """What is measured on.

    Attributes:
        compile: ``auto`` adds compiled models where it pays, on CUDA; ``true``, ``false``.
        memory: whether to measure peak memory, which takes a process for each method.
    """

    compile: str = "auto"
    memory: bool = True


def run(device: torch.device, settings: Settings) -> Report:
    """Measure a step of each method side by side on ``device``.

    Raises:
        UserError: the peft library is not installed.
    """
    precision = fastest_precision(device.type)
    rate = gemm_rate(device, precision, settings.batch_size, settings.repeats)
    works, operations = _works(device, settings, precision)
    seconds = in_turns(works, device, settings.repeats)
    report = Report("step", {**settings.described(precision), "gemm_flops_per_second": rate})
    for name, found in seconds.items():
        middle = median(found)
        row: dict[str, Any] = {
            "step": name,
            "ms": 1000 * middle,
            "range": spread([1000 * one for one in found]),
            "images/s": settings.batch_size / middle,
            "of GEMM rate": operations[name] / middle / rate,
        }
        if settings.memory:
            peak = peak_of(name, settings.architecture, settings.batch_size, device, precision)
            row |= {} if peak is None else {"peak MB": peak / 1e6}
        report.rows.append(row)
    report.notes = _notes(seconds, {row["step"]: row for row in report.rows}, rate)
    return report


def _works(
    device: torch.device, settings: Settings, precision: str
) -> tuple[dict[str, Callable[[], None]], dict[str, float]]:
    """Return one step by name, and the floating-point operations it takes."""
    compiled = settings.compile == "true" or (settings.compile == "auto" and pays(device))
    works: dict[str, Callable[[], None]] = {}
    operations: dict[str, float] = {}
    for name in (*METHODS, THREE_BRANCHES, PEFT):
        model = build(name, settings.architecture, device)
        works[name] = training_step(model, settings.batch_size, device, precision)
        operations[name] = _operations(model, works[name])
        if compiled and name in (LORA, HYDRA, THREE_BRANCHES):
            other = build(name, settings.architecture, device)
            compile_blocks(other, cuda_graph=False)
            works[name + COMPILED] = training_step(other, settings.batch_size, device, precision)
            operations[name + COMPILED] = operations[name]
    works[LINEAR], operations[LINEAR] = _linear(settings.batch_size, device)
    return works, operations


def _operations(model: nn.Module, step: Callable[[], None]) -> float:
    """Return the floating-point operations of a step, counted on branches one by one.

    The fused form accumulates in place, which torch's counter does not see.
    """
    layers = [module for module in model.modules() if isinstance(module, LowRankLinear)]
    before = [layer.fused for layer in layers]
    for layer in layers:
        layer.fused = False
    with FlopCounterMode(display=False) as counter:
        step()
    for layer, fused in zip(layers, before, strict=True):
        layer.fused = fused
    return float(counter.get_total_flops())


def _linear(batch_size: int, device: torch.device) -> tuple[Callable[[], None], float]:
    width = 768
    head = nn.Linear(width, CLASSES).to(device)
    features = torch.randn(batch_size, width, device=device)
    labels = torch.zeros(batch_size, dtype=torch.int64, device=device)
    optimizer = build_adamw(
        list(head.parameters()), lr=1e-4, weight_decay=0.0, betas=(0.9, 0.999), eps=1e-8
    )

    def step() -> None:
        loss = nn.functional.cross_entropy(head(features), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step, 4.0 * batch_size * width * CLASSES


def gemm_rate(device: torch.device, precision: str, batch_size: int, repeats: int) -> float:
    """Return the floating-point operations a second of the machine's own matrix product.

    Its shape is that of the model's largest product: tokens x 768 by 768 x 3072.
    """
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    rows = 197 * batch_size
    left = torch.randn(rows, 768, device=device, dtype=dtype)
    right = torch.randn(768, 3072, device=device, dtype=dtype)
    times = 10
    found = timed(lambda: [left @ right for _ in range(times)], device, repeats + 1)[1:]
    return times * 2.0 * rows * 768 * 3072 / median(found)


def _notes(
    seconds: dict[str, list[float]], rows: dict[str, dict[str, Any]], rate: float
) -> list[str]:
    notes = [
        compared(f"{above} / {below}", ratio(seconds, above, below), goal)
        for above, below, goal in (
            (HYDRA, LORA, "at most 1.00"),
            (HYDRA, THREE_BRANCHES, "at most 0.85"),
            (LORA, PEFT, "at most 0.90, both eager"),
            (HYDRA + COMPILED, LORA + COMPILED, "at most 1.00"),
            (LORA + COMPILED, PEFT, "none, the second is eager"),
        )
        if above in seconds and below in seconds
    ]
    if "peak MB" in rows[HYDRA]:
        quotient = rows[HYDRA]["peak MB"] / rows[PEFT]["peak MB"]
        notes.append(f"peak memory, {HYDRA} / {PEFT}: {quotient:.3g} (goal at most 0.9)")
    notes.append(
        f"the machine's own matrix product ran at {rate / 1e9:,.0f} GFLOP/s; operations of steps "
        "are counted by torch on the plain form of each method"
    )
    return notes
