"""Profile of training steps: where their time goes, for people to read."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from tabulate import tabulate
from torch.profiler import ProfilerActivity, profile, schedule

from hydra_peft.files import atomic_write, written_by_name
from hydra_peft.training.progress import Step

T = TypeVar("T")

#: steps left out first: they allocate, compile and tune
SKIPPED = 3
STEPS = 5
TABLE = "profile.md"
TRACE = "profile_trace.json.gz"
#: the ranges that :func:`hydra_peft.training.loop.train` marks
PHASES = ("batch", "forward", "backward", "optimizer")
#: parts of operators' names, from the first that matches
KINDS = (
    ("attention", ("attention", "flash", "fmha")),
    ("matrix products", ("addmm", "aten::mm", "bmm", "linear", "gemm", "cutlass", "nvjet")),
    ("patch embedding", ("conv",)),
    ("normalisation", ("norm",)),
    ("activation", ("gelu", "silu", "relu")),
    ("optimizer", ("adam",)),
    ("copies", ("copy", "memcpy", "memset", "fill", "zero", "cat")),
    ("element by element", ("add", "mul", "div", "sub", "sum", "triton", "elementwise")),
)
LEADING = 12
#: letters of a kernel's name, which holds all its template arguments
NAME = 100


def profiled(steps: Iterable[T], folder: Path, device: torch.device) -> Generator[T, None, None]:
    """Yield ``steps``; profile some of them and write a table and a trace into ``folder``.

    The files are ``profile.md`` and ``profile_trace.json.gz``. Training of fewer steps than are
    skipped and profiled, or cut short among them, leaves none. Close the generator where training
    ends early (``contextlib.closing``): profiling goes on until then.

    Args:
        steps: the stream of :func:`hydra_peft.training.loop.train`; what it yields beside
            :class:`~hydra_peft.training.progress.Step` is passed on.
        device: what computes.
    """
    done = 0

    def write(found: Any) -> None:
        if done < SKIPPED + STEPS:
            return  # torch offers what it has when training ends in the middle
        text = describe(found.key_averages(), device, STEPS)
        atomic_write(folder / TABLE, text.encode())
        with written_by_name(folder / TRACE) as temporary:
            found.export_chrome_trace(str(temporary))

    plan = schedule(wait=SKIPPED - 1, warmup=1, active=STEPS, repeat=1)
    with profile(activities=_activities(device), schedule=plan, on_trace_ready=write) as running:
        for step in steps:
            if isinstance(step, Step):
                done += 1
                running.step()
            yield step


class Parts(NamedTuple):
    """Mean milliseconds of one step by phase, kind of operator and operator.

    Attributes:
        phases: in the order of a step; on CUDA the host's time.
        kinds: of operators, the longest first.
        operators: name, milliseconds and calls of each.
    """

    phases: dict[str, float]
    kinds: dict[str, float]
    operators: list[tuple[str, float, float]]


def parts_of(events: Sequence[Any], device: torch.device, steps: int) -> Parts:
    """Return where the time of ``steps`` profiled steps went; arguments as of :func:`describe`."""
    of_host = [e for e in events if e.device_type.name == "CPU"]
    found = {e.key: e.cpu_time_total / steps / 1e3 for e in of_host}
    cuda = device.type == "cuda"
    operators = _kernels(events, steps) if cuda else _operators(of_host, steps)
    kinds: dict[str, float] = {}
    for name, milliseconds, _ in operators:
        kinds[_kind(name)] = kinds.get(_kind(name), 0.0) + milliseconds
    return Parts(
        {name: found[name] for name in PHASES if name in found},
        dict(sorted(kinds.items(), key=lambda kind: -kind[1])),
        operators,
    )


def profile_of(step: Callable[[], object], device: torch.device, steps: int = STEPS) -> Parts:
    """Return where the time of ``steps`` calls of ``step`` goes, after :data:`SKIPPED` others."""
    for _ in range(SKIPPED):
        step()
    with profile(activities=_activities(device)) as running:
        for _ in range(steps):
            step()
    return parts_of(running.key_averages(), device, steps)


def _activities(device: torch.device) -> list[ProfilerActivity]:
    # Or what profiles tells on stderr when it begins and ends, and that it has found no GPU.
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")
    on_gpu = [ProfilerActivity.CUDA] if device.type == "cuda" else []
    return [ProfilerActivity.CPU, *on_gpu]


def describe(events: Sequence[Any], device: torch.device, steps: int) -> str:
    """Return phases, kinds of operators and the leading operators as Markdown.

    Args:
        events: ``key_averages()`` of torch's profiler.
        device: what computed; on CUDA the operators are the GPU's kernels, while phases are the
            host's time, since the kernels of backward are started outside of its range.
        steps: number of steps that were profiled.
    """
    parts = parts_of(events, device, steps)
    total = sum(parts.kinds.values())
    leading = sorted(parts.operators, key=lambda row: -row[1])[:LEADING]
    cuda = device.type == "cuda"
    phase = "phase, on the host" if cuda else "phase"
    return (
        "\n\n".join(
            [
                "# One training step",
                f"Mean of {steps} steps after {SKIPPED}; {total:.1f} ms in operators on "
                f"{'the GPU' if cuda else 'the CPU'}.",
                _table(phase, [(name, ms, None) for name, ms in parts.phases.items()]),
                _table("kind", [(name, ms, None) for name, ms in parts.kinds.items()]),
                _table("operator", leading),
                f"Every event: {TRACE} (open it in https://ui.perfetto.dev).",
            ]
        )
        + "\n"
    )


def _operators(events: Sequence[Any], steps: int) -> list[tuple[str, float, float]]:
    """Return name, milliseconds and calls in one step of each operator of a CPU."""
    return [
        (e.key, e.self_cpu_time_total / steps / 1e3, e.count / steps)
        for e in events
        if e.key not in PHASES and e.self_cpu_time_total > 0
    ]


def _kernels(events: Sequence[Any], steps: int) -> list[tuple[str, float, float]]:
    """Return the same of a GPU's kernels.

    The operators that started them bear their time too: with both, it would count twice.
    """
    return [
        (e.key[:NAME], e.self_device_time_total / steps / 1e3, e.count / steps)
        for e in events
        if e.device_type.name == "CUDA" and not e.is_user_annotation
    ]


def _kind(name: str) -> str:
    lower = name.lower()
    return next((k for k, parts in KINDS if any(part in lower for part in parts)), "other")


def _table(what: str, rows: Sequence[tuple[str, float, float | None]]) -> str:
    total = sum(milliseconds for _, milliseconds, _ in rows) or 1.0
    columns: dict[str, list[object]] = {
        what: [f"`{name}`" for name, _, _ in rows],
        "ms": [f"{milliseconds:.2f}" for _, milliseconds, _ in rows],
        "share": [f"{100 * milliseconds / total:.1f}%" for _, milliseconds, _ in rows],
    }
    if any(calls is not None for _, _, calls in rows):
        columns["calls"] = [f"{calls:g}" for _, _, calls in rows]
    return str(tabulate(columns, headers="keys", tablefmt="pipe", disable_numparse=True))
