"""What a profile says, and that it leaves the run as it was."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.autograd import DeviceType
from torch.autograd.profiler import record_function

from hydra_peft.training import profiling
from hydra_peft.training.profiling import profile_of, profiled
from hydra_peft.training.progress import Step

CPU = torch.device("cpu")


def work(folder: Path, steps: int) -> None:
    layer = nn.Linear(64, 64)

    def train() -> Iterator[Step]:
        for number in range(steps):
            with record_function("forward"):
                out = nn.functional.gelu(layer(torch.randn(256, 64)))
            with record_function("backward"):
                out.sum().backward()
            yield Step(1, number, out, 0.1, 1.0, ends_epoch=False)

    assert [step.number for step in profiled(train(), folder, CPU)] == list(range(steps))


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


@pytest.mark.parametrize("steps", [2, 3, 5, 7])
def test_too_few_steps_leave_nothing(tmp_path: Path, steps: int) -> None:
    work(tmp_path, steps)
    assert not list(tmp_path.iterdir())


def test_nothing_is_printed_meanwhile(capfd: pytest.CaptureFixture[str]) -> None:
    profile_of(lambda: torch.ones(3) + 1, CPU, steps=1)
    assert capfd.readouterr() == ("", "")


def test_time_of_a_gpu_counts_once() -> None:
    """Operators on the host bear the time of their kernels; ranges appear on both sides."""

    def event(key: str, where: DeviceType, host: float, gpu: float, mark: bool) -> SimpleNamespace:
        return SimpleNamespace(
            key=key,
            device_type=where,
            count=5,
            cpu_time_total=host,
            self_cpu_time_total=host,
            device_time_total=gpu,
            self_device_time_total=gpu,
            is_user_annotation=mark,
        )

    text = profiling.describe(
        [
            event("forward", DeviceType.CPU, 5000, 0, True),
            event("forward", DeviceType.CUDA, 0, 9000, True),
            event("aten::mm", DeviceType.CPU, 1000, 15000, False),
            event("nvjet_tst_" + 200 * "x", DeviceType.CUDA, 0, 15000, False),
        ],
        torch.device("cuda"),
        5,
    )
    assert "3.0 ms in operators on the GPU" in text
    assert re.search(r"phase, on the host.*\n.*\n\| `forward` +\| 1.00 ", text)
    assert re.search(r"`matrix products` \| 3.00 +\| 100.0%", text)
    assert "aten::mm" not in text
    assert max(map(len, text.splitlines())) < 150
