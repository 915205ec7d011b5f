"""Two processes that share a run as under torchrun, and what one alone makes of them."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from prepared_root import write_task
from torch import nn
from torch.nn import functional as F

from hydra_peft.config.check import check_config
from hydra_peft.runs.run import run
from hydra_peft.training.distributed import Share, World, current
from hydra_peft.training.torchrun import Torchrun

SCRIPT = Path(__file__).with_name("two_processes.py")


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where two processes did what two_processes.py says."""
    folder = tmp_path_factory.mktemp("two")
    write_task(folder / "data" / "svhn", classes=10, train800=60, val200=23, test=40)
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, SCRIPT, f"{folder}/data", folder],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": f"{root}:{root}/tests"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def said(out: Path) -> list[dict[str, Any]]:
    return [json.loads((out / f"{rank}.json").read_text()) for rank in (0, 1)]


def record(folder: Path) -> dict[str, Any]:
    (path,) = folder.rglob("result.json")
    return json.loads(path.read_text())


def adapter(folder: Path) -> bytes:
    (path,) = folder.rglob("adapter.safetensors")
    return path.read_bytes()


def test_the_first_process_decides_and_flags_are_everybodys(said: list[dict[str, Any]]) -> None:
    for one in said:
        assert one["told"] == {"who": 0}
        assert one["any"] == [True, False]
        assert one["total"] == 21
        assert one["gathered"] == ["by 0", "by 1"]
        assert one["broadcast"] == "first"
        assert "have not the same taste" in one["differ"]
    assert said[1]["first was done"] is True


def test_shares_give_the_whole_batchs_gradient_loss_and_hits(said: list[dict[str, Any]]) -> None:
    for one in said:
        assert max(one["gradient"]) < 1e-6
        assert [abs(loss) < 1e-6 for loss, _ in one["sums"]] == [True] * 3
        assert [right for _, right in one["sums"]] == [0, 0, 0]


def test_scoring_is_shared_out_in_whole_batches(said: list[dict[str, Any]]) -> None:
    assert [one["batches"] for one in said] == [[8, 8, 5], [8, 8]]
    assert [one["rounds"] for one in said] == [3, 3]
    assert [one["score"] for one in said] == [[0, 37], [0, 37]]


def test_a_signal_at_one_stops_both_and_they_resume_with_the_same_bits_then_skip(
    out: Path, said: list[dict[str, Any]]
) -> None:
    for one in said:
        assert "in epoch 2 after step 1" in one["stopped again"]
        assert one["whole"] == "completed"
        assert one["again"] == ["completed", [5]]
        assert one["third time"] is True
    whole, again = record(out / "whole"), record(out / "again")
    for key in ("scores", "selection", "counts", "training"):
        assert whole[key] == again[key]
    assert adapter(out / "whole") == adapter(out / "again")
    assert whole["hardware"]["processes"] == 2


def test_processes_draw_different_numbers_and_only_the_first_writes(
    said: list[dict[str, Any]],
) -> None:
    assert said[0]["random"] != said[1]["random"]
    assert said[1]["written"] == ["open /proof"]


def test_another_number_of_processes_resumes_with_a_warning(
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    left = record(out / "left")
    assert left["status"] == "interrupted"
    (config_yaml,) = (out / "left").rglob("config.yaml")
    values = OmegaConf.load(config_yaml)
    monkeypatch.setattr(logging.getLogger("hydra_peft"), "propagate", True)
    config = check_config(values)
    outcome = run(config)
    assert outcome.record.status == "completed"
    assert [entry["at_step"] for entry in outcome.record.resumed] == [3]
    assert outcome.record.hardware["processes"] == 1
    warnings = {r.getMessage() for r in caplog.records if r.levelno == logging.WARNING}
    assert sum("another number of processes than the 1 of now" in w for w in warnings) == 1


@pytest.mark.parametrize("size", [1, 2, 3, 5, 16])
@pytest.mark.parametrize("processes", [2, 3, 4])
@pytest.mark.parametrize("parts", [1, 3])
def test_weighted_shares_add_up_to_the_batch(size: int, processes: int, parts: int) -> None:
    torch.manual_seed(0)
    model, images = nn.Linear(4, 3, dtype=torch.float64), torch.randn(size, 4, dtype=torch.float64)
    labels = torch.arange(size) % 3
    rows = torch.randperm(size)
    shares = []
    for rank in range(processes):
        process = Torchrun.__new__(Torchrun)  # without finding others
        process.rank, process.size = rank, processes
        shares.append(process.share(rows))
    assert torch.cat([share.rows[: share.count] for share in shares]).tolist() == rows.tolist()
    assert all(len(share.rows) >= 1 for share in shares)
    terms = (
        share.weigh(F.cross_entropy(model(images[part]), labels[part]), len(part))
        for share in shares
        for part in share.rows.tensor_split(min(parts, len(share.rows)))
    )
    total = torch.stack(list(terms)).sum()
    torch.testing.assert_close(total, F.cross_entropy(model(images), labels))


def test_one_alone_changes_nothing() -> None:
    alone, rows, loss = World(), torch.arange(3), torch.tensor(2.0)
    assert current().size == 1
    assert alone.share(rows) == Share(rows, 3, 1.0)
    assert alone.share(rows).weigh(loss, 3) is loss
    parameter = nn.Parameter(torch.ones(2))
    parameter.grad = torch.tensor([1.0, 2.0])
    assert alone.all_reduce([parameter], loss, rows) == (loss, rows)
    assert parameter.grad.tolist() == [1.0, 2.0]
    assert (alone.total(3), alone.any(True), alone.broadcast("x"), alone.all_gather(b"y")) == (
        3,
        True,
        "x",
        [b"y"],
    )
