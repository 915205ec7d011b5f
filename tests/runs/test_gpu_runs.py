"""Whole runs on a GPU: compiled, replayed, resumed, in float32, in a row, through NCCL.

The same tests run on a CPU, which proves the tests alone.
"""

from __future__ import annotations

import csv
import gc
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from devices import DEVICES
from torch import nn

from hydra_peft.runs.outcome import Outcome
from hydra_peft.runs.writer import RunWriter
from hydra_peft.training import distributed
from hydra_peft.training.torchrun import Torchrun

Do = Callable[..., Outcome]
#: 4 steps an epoch, 8 in all; the last of an epoch has 20 images
LENGTH = ["train.epochs=2", "train.batch_size=21", "precision=fp32"]
#: compiled code draws other masks than eager code
LENGTH += ["method.dropout=0", "model.drop_path=0"]


@pytest.fixture
def do(do: Do, small_task: Path, tmp_path: Path) -> Do:
    """Do a short run on the small task, in a folder of its own."""
    task = ["dataset=svhn", "data.allow_partial=true", f"paths.data={small_task}", *LENGTH]
    return lambda name, *overrides: do(*task, f"paths.runs={tmp_path}/{name}", *overrides)


@pytest.fixture(scope="module")
def kept() -> dict[str, list[float]]:
    return {}


@pytest.fixture
def eager(do: Do, kept: dict[str, list[float]]) -> Callable[[str], list[float]]:
    """Return the losses of a plain run on a device, done once."""

    def run(device: str) -> list[float]:
        if device not in kept:
            kept[device] = losses(do("eager", f"device={device}", "train.compile=false"))
        return kept[device]

    return run


def losses(outcome: Outcome) -> list[float]:
    rows = csv.DictReader((outcome.folder / "metrics.csv").open())
    return [float(row["loss"]) for row in rows]


@pytest.mark.parametrize("device", DEVICES)
def test_a_resumed_run_has_the_same_losses(
    do: Do, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawing = [f"device={device}", "method.dropout=0.3", "model.drop_path=0.2"]
    drawing.append("train.compile=false")
    undisturbed = losses(do("undisturbed", *drawing))
    seen, original = [0], RunWriter.step

    def stepping(self: RunWriter) -> None:
        original(self)
        seen[0] += 1
        if seen[0] == 6:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(RunWriter, "step", stepping)
        with pytest.raises(KeyboardInterrupt):
            do("resumed", *drawing)
    torch.rand(5, device=device)  # whatever else the process that goes on has drawn
    outcome = do("resumed", *drawing)
    assert [resumed["at_step"] for resumed in outcome.record.resumed] == [6]
    assert losses(outcome) == pytest.approx(undisturbed, rel=0 if device == "cpu" else 1e-4)


@pytest.mark.parametrize(
    ("device", "way"),
    [
        pytest.param("cpu", "train.compile=false", id="cpu"),
        *(
            pytest.param(
                "cuda", f"train.cuda_graph={graphs}", id=f"graphs-{graphs}", marks=pytest.mark.gpu
            )
            for graphs in ("false", "true")
        ),
    ],
)
def test_a_compiled_run_has_the_losses_of_an_eager_one(
    do: Do, eager: Callable[[str], list[float]], device: str, way: str
) -> None:
    other = do("other", f"device={device}", *(["train.compile=true"] * (device == "cuda")), way)
    assert other.record.path["cuda_graph"] == (way == "train.cuda_graph=true")
    assert (other.record.path["compiled"] is None) == (device == "cpu")
    assert losses(other) == pytest.approx(eager(device), rel=1e-3)


@pytest.mark.parametrize("device", DEVICES)
def test_bfloat16_has_losses_near_those_of_float32(
    do: Do, eager: Callable[[str], list[float]], device: str
) -> None:
    fast = do("fast", f"device={device}", "precision=bf16")
    assert fast.record.science["precision"] == "bf16"
    assert losses(fast) == pytest.approx(eager(device), rel=0.05)


@pytest.mark.parametrize(
    ("device", "runs"), [("cpu", 3), pytest.param("cuda", 10, marks=pytest.mark.gpu)]
)
def test_runs_in_a_row_leave_no_memory_behind(do: Do, device: str, runs: int) -> None:
    after = []
    for seed in range(runs):
        do("many", f"device={device}", f"seed={seed}", "train.epochs=1")
        after.append(held(device))
    # The first loads the backbone and compiles, the second may add a batch size.
    assert max(after[2:]) <= after[1]


def held(device: str) -> int:
    """Return the bytes of tensors that are alive: by torch's count on a GPU."""
    gc.collect()
    if device == "cuda":
        torch.cuda.synchronize()
        return torch.cuda.memory_allocated()
    # Not those without storage, which compiling leaves behind.
    kinds = (torch.Tensor, torch.nn.Parameter)
    tensors = [one for one in gc.get_objects() if type(one) in kinds and one.device.type == "cpu"]
    storages = {one.untyped_storage().data_ptr(): one.untyped_storage().nbytes() for one in tensors}
    return sum(storages.values())


@pytest.mark.parametrize("device", DEVICES)
def test_the_official_protocol_in_float32_has_no_tf32(
    do: Do, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)  # torch's own default
    seen: list[tuple[bool, bool, str]] = []
    original: Callable[..., Any] = nn.Conv2d.forward

    def forward(self: nn.Conv2d, images: torch.Tensor) -> torch.Tensor:
        allowed = (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32)
        seen.append((*allowed, str(images.dtype)))
        return original(self, images)

    monkeypatch.setattr(nn.Conv2d, "forward", forward)
    outcome = do(
        "official",
        f"device={device}",
        "protocol=official",
        "protocol.evaluate_every=1",
        "precision=fp32",
        "train.compile=false",
    )
    assert outcome.record.status == "completed"
    assert len(seen) >= 8
    assert set(seen) == {(False, False, "torch.float32")}
    assert torch.backends.cudnn.allow_tf32  # it is the process's again


@pytest.mark.parametrize("device", DEVICES)
def test_one_process_of_torchrun_has_the_losses_of_none(
    do: Do,
    eager: Callable[[str], list[float]],
    device: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alone = eager(device)
    world = Torchrun(0, 1, 0, dist.HashStore())
    try:
        monkeypatch.setattr(distributed, "_current", world)
        outcome = do("joined", f"device={device}", "train.compile=false")
    finally:
        del world._hosts
        dist.destroy_process_group()
    assert losses(outcome) == pytest.approx(alone, rel=1e-4)
