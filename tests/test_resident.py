"""The peak memory of a process is forgotten, and what a run freed is not the next one's."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hydra_peft import resident

PROGRAM = """
import json
import torch
from hydra_peft.runs.environment import peak_memory, reset_peak_memory
from hydra_peft.training.allocation import keep_freed_memory

cpu = torch.device("cpu")

def run(count):
    reset_peak_memory(cpu)
    keep_freed_memory()
    tensors = [torch.ones(2**20) for _ in range(count)]  # of 4 MB
    return peak_memory(cpu)["bytes"]

print(json.dumps([run(1), run(100), run(1)]))
"""


def test_the_peak_of_a_run_is_not_of_an_earlier_one_in_the_process() -> None:
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("this system lets no process forget its peak")
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    small, large, after = json.loads(done.stdout)
    assert large - small > 90 * 2**22
    assert after - small < 10 * 2**22


def test_without_proc_the_peak_is_of_the_life_of_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = resident.peak_bytes()
    monkeypatch.setattr(resident, "Path", lambda path: Path("/nowhere") / path.lstrip("/"))
    resident.forget_peak()
    assert resident.resident_bytes() == resident.peak_bytes() >= 0.9 * told
