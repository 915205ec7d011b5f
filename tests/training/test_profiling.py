"""What a profile says, and that it leaves the run as it was."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import torch
from torch import nn
from torch.autograd.profiler import record_function

from hydra_peft.training import profiling
from hydra_peft.training.profiling import StepProfiler

CPU = torch.device("cpu")


def work(folder: Path, steps: int) -> None:
    layer = nn.Linear(64, 64)
    with StepProfiler(folder, CPU) as profiler:
        for _ in range(steps):
            with record_function("forward"):
                out = nn.functional.gelu(layer(torch.randn(256, 64)))
            with record_function("backward"):
                out.sum().backward()
            profiler.step()


def test_table_and_trace(tmp_path: Path) -> None:
    work(tmp_path, profiling.SKIPPED + profiling.STEPS)
    text = (tmp_path / profiling.TABLE).read_text()
    assert "Mean of 5 steps after 3" in text
    for part in ("`forward`", "`backward`", "`matrix products`", "`activation`", "`aten::gelu`"):
        assert part in text
    assert "`batch`" not in text  # no such phase was marked
    shares = [
        float(line.split("|")[3].strip().rstrip("%"))
        for line in text.split("| kind")[1].split("| operator")[0].splitlines()
        if line.startswith("| `")
    ]
    assert abs(sum(shares) - 100) < 1
    trace = json.loads(gzip.decompress((tmp_path / profiling.TRACE).read_bytes()))
    assert len([e for e in trace["traceEvents"] if e.get("name") == "forward"]) >= 5


def test_too_few_steps_leave_nothing(tmp_path: Path) -> None:
    work(tmp_path, 2)
    assert not (tmp_path / profiling.TABLE).exists()
