"""Suite ``step``: one training step of a whole model, by method."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from hydra_peft.adapters.low_rank import LowRankLinear
from hydra_peft.backbones.architectures import build_architecture, input_size
from hydra_peft.training.compiling import compile_blocks, pays
from hydra_peft.training.devices import fastest_precision
from hydra_peft.workshop.timing._memory import peak_of_process, peak_of_step
from hydra_peft.workshop.timing._models import (
    CLASSES,
    DTYPES,
    FROZEN,
    HYDRA,
    LORA,
    NO_PEFT,
    PEFT,
    THREE_BRANCHES,
    adamw,
    build,
    compared_rows,
    has_peft,
    precisions,
    set_fused,
    training_step,
)
from hydra_peft.workshop.timing._report import (
    Report,
    Seconds,
    in_ms,
    median,
    ratio,
    timed,
    wanted,
)
from hydra_peft.workshop.timing.settings import StepSettings

COMPILED = ", compiled"
LINEAR = "linear, on features computed once"
#: steps that every other is held against
REFERENCES = ("linear", "full")
WIDTH = 768
#: a product of square matrices that fills a GPU
SQUARE = (8192, 8192, 8192)
GOALS = (
    (HYDRA, LORA, "at most 1.00"),
    (HYDRA, THREE_BRANCHES, "at most 0.85"),
    (LORA, PEFT, "at most 0.90, both eager"),
    (HYDRA, FROZEN, "none, the second adapts nothing"),
    (LORA, FROZEN, "none, the second adapts nothing"),
    (HYDRA + COMPILED, LORA + COMPILED, "at most 1.00"),
    (LORA + COMPILED, PEFT, "none, the second is eager"),
)


@dataclass
class _Work:
    """Timed step of one form of a model.

    Attributes:
        step: does it.
        operations: floating-point operations that it takes.
        peak: bytes that it takes beyond the model, or None where that was not measured.
    """

    step: Callable[[], None]
    operations: float
    peak: float | None = None


def run(device: torch.device, settings: StepSettings, report: Report) -> None:
    """Measure a step of each method side by side on ``device``."""
    asked = precisions(settings.precisions, device)
    report.settings = {**vars(settings), "precisions": list(asked), "gemm_flops_per_second": {}}
    if settings.methods == "table8" and not has_peft():
        report.notes.append(NO_PEFT)
    models = _models(device, settings, report.say)
    square = device.type == "cuda"
    product = SQUARE if square else largest_product(settings.architecture, settings.batch_sizes[0])
    for precision in asked:
        rate = gemm_rate(device, precision, product, settings.repeats)
        report.settings["gemm_flops_per_second"][precision] = rate
        report.notes.append(
            f"{precision}: the machine's own matrix product ({' x '.join(map(str, product))}) ran "
            f"at {rate / 1e9:,.0f} GFLOP/s"
        )
        chosen = {
            name: model
            for name, model in models.items()
            if not name.endswith(COMPILED) or _is_compiled_in(precision, device, settings)
        }
        for batch_size in settings.batch_sizes:
            _compare(chosen, device, settings, precision, batch_size, rate, report)
    report.notes.append("operations of steps are counted by torch on the plain form of each method")


def _models(
    device: torch.device, settings: StepSettings, say: Callable[[str], None]
) -> dict[str, nn.Module]:
    """Return the models by name; those that are compiled, which is at their first step, as well."""
    models = {}
    for name in compared_rows(settings.methods):
        say(f"building {name}")
        models[name] = build(name, settings.architecture, device)
        compiled = any(_is_compiled_in(precision, device, settings) for precision in DTYPES)
        if compiled and name in (LORA, HYDRA, THREE_BRANCHES):
            models[name + COMPILED] = build(name, settings.architecture, device)
            compile_blocks(models[name + COMPILED], cuda_graph=False)
    return models


def _is_compiled_in(precision: str, device: torch.device, settings: StepSettings) -> bool:
    pays_off = pays(device) and precision == fastest_precision(device.type)
    return wanted(settings.compile, pays_off)


def _compare(
    models: dict[str, nn.Module],
    device: torch.device,
    settings: StepSettings,
    precision: str,
    batch_size: int,
    rate: float,
    report: Report,
) -> None:
    where = f"batch {batch_size}, {precision}"
    torch._dynamo.reset()  # or it would compile for any batch size, which a run does not
    works: dict[str, _Work] = {}
    for name, model in models.items():
        report.say(f"{where}: first steps of {name}")
        works[name] = _work(name, model, works, device, settings, precision, batch_size)
    works[LINEAR] = _linear(batch_size, device)

    def row(name: str, seconds: Seconds) -> dict[str, Any]:
        found = _row(name, works[name], seconds[name], precision, batch_size, rate)
        return found | {
            f"/ {other}": median(ratio(seconds, name, other))
            for other in REFERENCES
            if other in seconds
        }

    steps = {name: work.step for name, work in works.items()}
    seconds = report.in_turns(steps, settings.repeats, row, calls=settings.calls, title=where)
    own = report.rows[-len(works) :]
    if settings.memory and device.type == "cpu":
        _add_peaks(own, settings, batch_size, precision, report)
    report.compare(seconds, GOALS, title=where)
    explained = {name: steps[name] for name in (HYDRA, LORA, FROZEN) if name in steps}
    if explained:
        report.say(f"{where}: where the time goes")
        report.profile(explained, title=where)
    peaks = {found["step"]: found["peak MB"] for found in own if "peak MB" in found}
    if HYDRA in peaks and PEFT in peaks:
        quotient = peaks[HYDRA] / peaks[PEFT]
        note = f"{where}: peak memory, {HYDRA} / {PEFT}: {quotient:.3g} (goal at most 0.9)"
        report.notes.append(note)


def _add_peaks(
    rows: list[dict[str, Any]],
    settings: StepSettings,
    batch_size: int,
    precision: str,
    report: Report,
) -> None:
    """Add a CPU's peak memory to those ``rows`` of ``report`` that are of whole models."""
    for row in rows:
        if row["step"] in compared_rows(settings.methods):
            peak = peak_of_process(row["step"], settings.architecture, batch_size, precision)
            row["peak MB"] = peak / 1e6
            report.say(f"{row['step']}: peak {peak / 1e6:.0f} MB")
            report.save()


def _work(
    name: str,
    model: nn.Module,
    before: dict[str, _Work],
    device: torch.device,
    settings: StepSettings,
    precision: str,
    batch_size: int,
) -> _Work:
    """Return a step of ``model`` with what is known of it; a compiled one comes after its plain."""
    model.zero_grad(set_to_none=True)
    step = training_step(model, batch_size, device, precision)
    # Before the operations are counted, which is a step too.
    cuda = settings.memory and device.type == "cuda"
    peak = peak_of_step(step, device) if cuda else None
    if name.endswith(COMPILED):
        return _Work(step, before[name.removesuffix(COMPILED)].operations, peak)
    return _Work(step, _operations(model, step), peak)


def _row(
    name: str, work: _Work, seconds: Sequence[float], precision: str, batch_size: int, rate: float
) -> dict[str, Any]:
    middle = median(seconds)
    peak = {} if work.peak is None else {"peak MB": work.peak / 1e6}
    return {
        "step": name,
        "batch": batch_size,
        "precision": precision,
        **in_ms(seconds),
        "images/s": batch_size / middle,
        "of GEMM rate": work.operations / middle / rate,
        **peak,
    }


def _operations(model: nn.Module, step: Callable[[], None]) -> float:
    """Return the floating-point operations of a step, counted on branches one by one.

    The fused form accumulates in place, which torch's counter does not see.
    """
    fused = any(layer.fused for layer in model.modules() if isinstance(layer, LowRankLinear))
    set_fused(model, False)
    with FlopCounterMode(display=False) as counter:
        step()
    set_fused(model, fused)
    return float(counter.get_total_flops())


def _linear(batch_size: int, device: torch.device) -> _Work:
    head = nn.Linear(WIDTH, CLASSES).to(device)
    features = torch.randn(batch_size, WIDTH, device=device)
    labels = torch.zeros(batch_size, dtype=torch.int64, device=device)
    optimizer = adamw(head)

    def step() -> None:
        loss = nn.functional.cross_entropy(head(features), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return _Work(step, 4.0 * batch_size * WIDTH * CLASSES)


def gemm_rate(
    device: torch.device, precision: str, product: tuple[int, int, int], repeats: int
) -> float:
    """Return the floating-point operations a second of a matrix product on random data.

    Args:
        product: rows, inner dimension and columns: on a GPU those of square matrices that fill it,
            on a CPU :func:`largest_product`.
        repeats: rounds; the median counts.
    """
    dtype = DTYPES[precision]
    rows, inner, columns = product
    left = torch.randn(rows, inner, device=device, dtype=dtype)
    right = torch.randn(inner, columns, device=device, dtype=dtype)
    found = timed(lambda: left @ right, device, repeats + 1, calls=10)[1:]
    return 2.0 * rows * inner * columns / median(found)


def largest_product(architecture: str, batch_size: int) -> tuple[int, int, int]:
    """Return rows, inner dimension and columns of a model's largest product with its weights.

    Of ViT-B/16 it is tokens x 768 by 768 x 3072.
    """
    found: list[tuple[int, int, int]] = []

    def note(layer: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        columns, inner = cast(torch.Tensor, layer.weight).shape
        found.append((inputs[0].numel() // inner, inner, columns))

    with torch.device("meta"):
        model = build_architecture(architecture, {})
        images = torch.empty(batch_size, 3, *input_size(model))
        for layer in model.modules():
            if isinstance(layer, nn.Linear):
                layer.register_forward_pre_hook(note)
        model(images)
    return max(found, key=math.prod)
