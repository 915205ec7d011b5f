"""Peak memory of training steps, each method in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import torch

from hydra_peft.benchmarks._variants import METHODS, PEFT, THREE_BRANCHES, build, training_step
from hydra_peft.training.compiling import compile_blocks

COMPILED = ", compiled"


def peak_of(
    title: str, architecture: str, batch_size: int, device: torch.device, precision: str
) -> float | None:
    """Return the peak bytes of a step beyond the model itself; None for rows without a model.

    It is the second step's: the first may compile, and has no state of the optimizer yet.

    On CUDA it is torch's own count of the GPU's memory, on a CPU (Linux) resident memory of the
    process.
    """
    if title.removesuffix(COMPILED) not in (*METHODS, THREE_BRANCHES, PEFT):
        return None
    command = [sys.executable, "-m", __name__]
    arguments = [title, architecture, str(batch_size), device.type, precision]
    done = subprocess.run(
        [*command, *arguments],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).resolve().parents[2],
    )
    return float(json.loads(done.stdout.splitlines()[-1]))


def _measure(title: str, architecture: str, batch_size: int, device: str, precision: str) -> float:
    where = torch.device(device)
    model = build(title.removesuffix(COMPILED), architecture, where)
    if title.endswith(COMPILED):
        compile_blocks(model, cuda_graph=False)
    step = training_step(model, batch_size, where, precision)
    cuda = where.type == "cuda"
    before = torch.cuda.memory_allocated() if cuda else _status("VmRSS")
    step()
    if cuda:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    else:
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    step()
    after = torch.cuda.max_memory_allocated() if cuda else _status("VmHWM")
    return float(after - before)


def _status(field: str) -> int:
    """Return a figure of the process's own memory in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"/proc/self/status has no {field}")


if __name__ == "__main__":
    title, architecture, batch_size, device, precision = sys.argv[1:]
    sys.stdout.write(json.dumps(_measure(title, architecture, int(batch_size), device, precision)))
