"""Peak memory of training steps: on a GPU by torch's count, on a CPU each in its own process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

import torch

from hydra_peft.checkout import ROOT
from hydra_peft.resident import forget_peak, peak_bytes, resident_bytes
from hydra_peft.workshop.timing._models import build, training_step


def peak_of_process(title: str, architecture: str, batch_size: int, precision: str) -> float:
    """Return the peak bytes of a step on a CPU (Linux), beyond the model itself.

    It is resident memory, of a process that does nothing else; see :func:`peak_of_step`.
    """
    command = [sys.executable, "-m", __name__, title, architecture, str(batch_size), precision]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return float(json.loads(done.stdout.splitlines()[-1]))


def peak_of_step(step: Callable[[], None], device: torch.device) -> float:
    """Return the peak bytes that a model's steps take beyond what was taken before the first.

    It is the second step's: the first may compile, and has no state of the optimizer yet.
    On CUDA it is torch's own count of the GPU's memory, on a CPU resident memory of the process.
    """
    peak = Peak(device)
    step()
    peak.forget()
    step()
    return peak.bytes()


class Peak:
    """The most memory that is taken from now on, beyond what is taken now."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._before = torch.cuda.memory_allocated() if self._cuda else resident_bytes()
        self.forget()

    def forget(self) -> None:
        """Look away from the peak so far."""
        if self._cuda:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        else:
            forget_peak()

    def bytes(self) -> float:
        """Return the peak since then."""
        after = torch.cuda.max_memory_allocated() if self._cuda else peak_bytes()
        return float(after - self._before)


def _measure(title: str, architecture: str, batch_size: int, precision: str) -> float:
    cpu = torch.device("cpu")
    model = build(title, architecture, cpu)
    return peak_of_step(training_step(model, batch_size, cpu, precision), cpu)


if __name__ == "__main__":
    title, architecture, batch_size, precision = sys.argv[1:]
    sys.stdout.write(json.dumps(_measure(title, architecture, int(batch_size), precision)))
